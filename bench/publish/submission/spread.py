"""Repeated measurements: figures follow from their samples, and samples look like time."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.statistics import median, median_interval, percentiles, relative_halfwidth
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.store.encoding import encode_samples
from claimbench.bench.store.evidence import TimeEvidence

EXACT = 1e-9
"""Rounding of the last digits, relative."""

ALIKE = 1e-6
"""Samples that differ by less, relative, were not read from a clock."""

FEW = 3


@rule(
    "not-from-samples",
    "A time comes with all of its samples: the figure, its interval and its percentiles are those that they give.",
)
def _figures(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        samples = entry.samples
        if not samples and not entry.record.samples_key:
            yield entry, "it has no samples"
        elif samples and len(samples) != timing.samples:
            yield entry, f"it says that it has {timing.samples} samples, and has {len(samples)}"
        elif samples and min(samples) > 0:
            yield from ((entry, problem) for problem in _problems(entry, timing))


def _problems(entry: Entry, timing: TimeEvidence) -> Iterator[str]:
    """Hold the figures that a time states against those of its samples."""
    row, samples = entry.record.measurement, entry.samples
    middle, (low, high) = median(samples), median_interval(samples) or (None, None)
    if row.metric == "throughput":
        middle = timing.batch / middle
        low, high = (None if time is None else timing.batch / time for time in (high, low))
    if row.value is not None and not near(row.value, middle):
        yield f"it is {row.value:.6g}, and its samples give {middle:.6g}"
    if not (_same(row.low, low) and _same(row.high, high)):
        yield f"its interval is {_range(row.low, row.high)}, and its samples give {_range(low, high)}"
    width = relative_halfwidth(samples)
    if (width is None) != (timing.halfwidth is None) or abs((width or 0) - (timing.halfwidth or 0)) > EXACT:
        yield "the half-width of its interval is not that of its samples"
    expected, stated = percentiles(samples) if timing.inner_loops == 1 else {}, timing.percentiles_s
    if stated.keys() != expected.keys() or not all(near(stated[name], value) for name, value in expected.items()):
        yield "its percentiles are not those of its samples"


def _same(stated: float | None, found: float | None) -> bool:
    return stated is found if stated is None or found is None else near(stated, found)


def _range(low: float | None, high: float | None) -> str:
    ends = ["none" if end is None else f"{end:.6g}" for end in (low, high)]
    return "none" if low is None and high is None else f"from {ends[0]} to {ends[1]}"


@rule("identical-samples", "Samples of a time differ, as readings of a clock do.")
def _identical(case: Case) -> Iterator[Doubt]:
    for entry, _ in case.timings:
        samples = entry.samples
        if len(samples) >= FEW and max(samples) - min(samples) <= ALIKE * max(samples):
            yield entry, f"its {len(samples)} samples are all the same"


@rule("copied-samples", "No two figures rest on the same samples.")
def _copied(case: Case) -> Iterator[Doubt]:
    first: dict[str, Entry] = {}
    for entry in case.entries:
        if len(entry.samples) < FEW:
            continue
        other = first.setdefault(encode_samples(sorted(entry.samples))[0], entry)
        if other is not entry:
            yield entry, f"its samples are those of line {other.line} ({other.name})"


def near(first: float, second: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return abs(first - second) <= EXACT * max(abs(first), abs(second))
