"""Parity: the reproduction against the official implementation, on goldens."""

from __future__ import annotations

import math
from importlib import import_module

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.golden import load_golden
from claimbench.bench.measure.golden_check import GoldenResult, OutputDifference, check_golden
from claimbench.bench.papers import golden_files, registry
from claimbench.bench.store.evidence.of_models import GoldenEvidence, OutputEvidence, ParityEvidence


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
    evidence = ParityEvidence(goldens=[golden_evidence(r) for r in results], passed=all(r.passed for r in results))
    detail = evidence.to_detail()
    if not math.isfinite(worst):
        reasons = [f"{o.name}: {o.problem or 'not a finite number'}" for r in results for o in r.outputs if _bad(o)]
        return [Measurement.missing("parity", "rel", f"cannot be compared: {reasons[0]}", failed=True, **detail)]
    method = "official weights layout through official.py, largest difference of any output over how much it varies"
    return [Measurement("parity", worst, "rel", method, detail=detail)]


def _bad(output: OutputDifference) -> bool:
    return not math.isfinite(output.worst())


def golden_evidence(result: GoldenResult) -> GoldenEvidence:
    """Return the comparison of a model with one golden."""
    golden = result.golden
    return GoldenEvidence(
        file=golden.path.name,
        variant=golden.variant,
        dtype=golden.dtype,
        tolerance=golden.tolerance,
        float32_inside=golden.float32_inside,
        passed=result.passed,
        params=result.params,
        params_official=golden.params,
        outputs={o.name: o.problem or _differences(o) for o in result.outputs},
    )


def _differences(output: OutputDifference) -> OutputEvidence:
    return OutputEvidence(
        max_abs=output.max_abs, max_rel=output.max_rel, l2_rel=output.l2_rel, mean_rel=output.mean_rel
    )
