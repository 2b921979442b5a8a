"""Parity on golden files given by the user: any golden of a known paper and variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.measure.golden import TOLERANCE, Golden, load_golden
from claimbench.bench.measure.golden_check import GoldenResult, check_golden
from claimbench.bench.papers import golden_files, registry


@dataclass(frozen=True)
class Verified:
    """One golden and our model's comparison with it.

    Attributes:
        golden: the golden.
        result: the comparison; None if the model could not be built or run.
        problem: the reason that there is no comparison, one sentence; empty if there is one.
    """

    golden: Golden
    result: GoldenResult | None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether every output agrees."""
        return self.result is not None and self.result.passed

    def to_json(self) -> dict[str, Any]:
        """Return the comparison, JSON-ready."""
        from claimbench.bench.measure.parity import golden_evidence

        golden = self.golden
        named = {"golden": str(golden.path), "paper": golden.paper, "variant": golden.variant, "passed": self.passed}
        compared = {} if self.result is None else golden_evidence(self.result).to_detail()
        return {**named, "problem": self.problem, **compared}


def verify(
    files: Sequence[Path], device: str = "cpu", on_result: Callable[[Verified], None] | None = None
) -> list[Verified]:
    """Compare our models with goldens, in the files' order; all files are read before the first model runs.

    Raises:
        UserError: a file is broken, or names a paper or variant that does not exist.
    """
    goldens = [load_with_paper(file) for file in files]
    results = []
    for golden, module, config in goldens:
        try:
            official = import_module(f"{module}.official")
            verified = Verified(golden, check_golden(golden, official, config, device))
        except Exception as error:  # whatever the model does, the golden is not matched, and the row says why
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            verified = Verified(golden, None, f"{kind}{lines[0][:400]}")
        results.append(verified)
        if on_result is not None:
            on_result(verified)
    return results


def load_with_paper(file: Path) -> tuple[Golden, str, dict[str, Any]]:
    """Return a golden, its paper's Python package and its variant's hyper-parameters.

    Raises:
        UserError: the file is broken, or names a paper or variant that does not exist.
    """
    golden = load_golden(file)
    try:
        paper = registry.paper(golden.paper)
        variants = {variant.name: variant.config for variant in paper.variants}
        variants |= {network.name: network.config for network in paper.unbuilt}
        name = golden_files.variant_of(golden.variant, variants)
        if name is None:
            raise unknown("variant", golden.variant, variants)
    except UserError as error:
        raise UserError(f"golden {file}: {error}") from error
    return golden, registry.entry(golden.paper).module, variants[name]


def rows(verified: Verified) -> Iterator[tuple[str, ...]]:
    """Yield a line of text for each output: name, largest absolute and relative difference, tolerance, verdict."""
    if verified.result is None:
        yield "", "", "", "", f"FAILED: {verified.problem}"
        return
    tolerance = verified.golden.tolerance
    for output in verified.result.outputs:
        agrees = output.worst() <= tolerance
        verdict = "agrees" if agrees else f"DIFFERS{': ' + output.problem if output.problem else ''}"
        relative = max(output.max_rel, output.l2_rel, output.mean_rel)
        yield output.name, f"{output.max_abs:.1e}", f"{relative:.1e}", allowed(tolerance), verdict


def allowed(tolerance: float) -> str:
    """Return a tolerance in scientific notation with all of its digits, and no more."""
    return np.format_float_scientific(tolerance, trim="-", exp_digits=2)


def reason(golden: Golden) -> str:
    """Return the reason for which a golden allows another difference than others of its dtype; empty if it does not."""
    if not golden.float32_inside:
        return ""
    usual = allowed(TOLERANCE[golden.dtype])
    return f"allowed here is {allowed(golden.tolerance)}, not {usual}: {golden.float32_inside}"
