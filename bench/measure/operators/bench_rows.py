"""The rows of ``bench kernels bench``: one implementation on one problem, compared with its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from claimbench.bench.core.records import Status
from claimbench.bench.core.statistics import combine, compare
from claimbench.bench.machine.peaks import Peaks

Pass = Literal["forward", "forward+backward"]

BASELINES = ("reference", "compiled", "reference nchw", "reference nhwc")
"""The plain PyTorch form, that form under torch.compile, and the plain form on the other memory format of a
(B, C, H, W) problem. Every other implementation is a backend."""


@dataclass(frozen=True)
class Against:
    """An implementation compared with a baseline.

    Attributes:
        baseline: its name.
        ratio: the baseline's time over the implementation's: 2 means twice as fast. The median over pairs of
            neighbouring samples, with its 95 % interval (None with too few samples).
        verdict: ``same``, ``faster``, ``slower`` or ``ambiguous``.
        reason: for the verdict.
    """

    baseline: str
    ratio: float
    low: float | None
    high: float | None
    verdict: str
    reason: str


@dataclass(frozen=True)
class BenchRow:
    """One implementation on one problem.

    Attributes:
        operator, case, dtype, device, threads: the problem and its place.
        direction: ``forward``, or ``forward+backward`` with the gradients of all tensors.
        implementation: a backend or a baseline (``claimbench.bench.measure.operators.timer``).
        status, reason: ``failed`` if its check is red or it died, ``unavailable`` if it cannot run here, and why.
        seconds, low, high: the median time of a call and its 95 % interval.
        samples: all samples in seconds, one tuple for each process.
        memory: the bytes by which a call raises the peak memory, its results included; None with ``memory_reason``.
        flops, moved: useful FLOPs and least bytes, by the operator's formulas.
        ceiling: the machine's peaks, measured in the same run; None with ``ceiling_reason``.
        attainable: the least seconds by the roofline; ``bound`` names the ceiling.
        against: the ratios to every baseline that was timed.
        strongest: the fastest baseline, the one to quote.
        method: of timing.
    """

    operator: str
    case: str
    dtype: str
    device: str
    threads: int | None
    direction: Pass
    implementation: str
    status: Status = "measured"
    reason: str = ""
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    samples: tuple[tuple[float, ...], ...] = ()
    memory: int | None = None
    memory_reason: str = ""
    flops: int = 0
    moved: int = 0
    ceiling: Peaks | None = None
    ceiling_reason: str = ""
    attainable: float | None = None
    bound: str = ""
    against: tuple[Against, ...] = ()
    strongest: str = ""
    method: str = ""

    @property
    def roofline_fraction(self) -> float | None:
        """The share of the attainable speed that was reached; above 1 if the data stay in a cache."""
        return self.attainable / self.seconds if self.attainable and self.seconds else None

    @property
    def flops_per_second(self) -> float | None:
        """Useful FLOPs per second."""
        return self.flops / self.seconds if self.seconds else None

    @property
    def bytes_per_second(self) -> float | None:
        """Least bytes per second; the implementation may move more."""
        return self.moved / self.seconds if self.seconds else None

    @property
    def speedup(self) -> Against | None:
        """The comparison with the strongest baseline; None for that baseline itself."""
        return next((a for a in self.against if a.baseline == self.strongest), None)

    def to_json(self) -> dict[str, Any]:
        """Return every field and the derived figures, JSON-ready."""
        derived = ("roofline_fraction", "flops_per_second", "bytes_per_second")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}


def measured(row: BenchRow, rounds: Mapping[str, list[list[float]]]) -> BenchRow:
    """Return the row with its times and its ratios to the baselines."""
    own = rounds[row.implementation]
    estimate = combine(own)
    baselines = {name: taken for name, taken in rounds.items() if name in BASELINES}
    return replace(
        row,
        seconds=estimate.median,
        low=estimate.low,
        high=estimate.high,
        samples=tuple(tuple(taken) for taken in own),
        against=tuple(_against(name, taken, own) for name, taken in baselines.items() if name != row.implementation),
        strongest=min(baselines, key=lambda name: combine(baselines[name]).median, default=""),
    )


def _against(baseline: str, theirs: list[list[float]], own: list[list[float]]) -> Against:
    """Compare samples taken in the same turns: the ratio of each pair against 1, process by process."""
    pairs = [[a / b for a, b in zip(x, y, strict=True)] for x, y in zip(theirs, own, strict=True)]
    found = compare(pairs, [[1.0] * len(taken) for taken in pairs])
    return Against(baseline, found.ratio.value, found.ratio.low, found.ratio.high, found.verdict, found.reason)
