"""Parity: the reproduction against the official implementation, on goldens."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.golden import GoldenResult, check_golden, load_golden
from claimbench.bench.papers import golden_files, registry


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Run every golden of the job and report the largest relative difference.

    Raises:
        UnavailableError: there is no golden, or the subject is not a reproduction.
        UserError: a golden is broken, or its state does not fit the reproduction.
    """
    files = job.options.goldens
    if not files or not job.paper:
        raise UnavailableError("there is no golden record of the official implementation for this model")
    official = import_module(f"{registry.module(job.paper)}.official")
    results = []
    for file in files:
        golden = load_golden(golden_files.path(file))
        try:
            results.append(check_golden(golden, official, job.options.config, subject.device))
        except ValueError as error:
            raise UserError(f"golden {file} does not fit {job.subject}: {error}") from error
    worst = max(result.worst for result in results)
    detail = {"goldens": [as_detail(result) for result in results], "passed": all(r.passed for r in results)}
    if not math.isfinite(worst):
        reasons = [f"{o.name}: {o.problem or 'not a finite number'}" for r in results for o in r.outputs if _bad(o)]
        return [Measurement.missing("parity", "rel", f"cannot be compared: {reasons[0]}", failed=True, **detail)]
    method = "official weights layout through official.py, largest difference of any output over how much it varies"
    return [Measurement("parity", worst, "rel", method, detail=detail)]


def _bad(output: Any) -> bool:
    return not math.isfinite(output.worst())


def as_detail(result: GoldenResult) -> dict[str, Any]:
    """Return one golden's result, ready for JSON; ``float32_inside`` is there where the golden states a tolerance."""
    golden = result.golden
    return {
        "file": golden.path.name,
        "variant": golden.variant,
        "dtype": golden.dtype,
        "tolerance": golden.tolerance,
        **({"float32_inside": golden.float32_inside} if golden.float32_inside else {}),
        "passed": result.passed,
        "params": result.params,
        "params_official": golden.params,
        "outputs": {
            o.name: o.problem
            or {"max_abs": o.max_abs, "max_rel": o.max_rel, "l2_rel": o.l2_rel, "mean_rel": o.mean_rel}
            for o in result.outputs
        },
    }
