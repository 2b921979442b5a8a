"""Repeated measurements: figures follow from their samples, and samples look like time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

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


def seconds_of(entry: Entry, value: float, batch: int) -> float:
    """Return the seconds a batch behind a stated figure or bound."""
    return value if entry.record.measurement.metric == "latency" or value == 0 else batch / value


@rule("spread-missing", "Every time comes with all of its samples, as many as it says, and with their interval.")
def _missing(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        row = entry.record.measurement
        if not entry.samples:
            if not entry.record.samples_key:
                yield entry, "it has no samples"
            continue
        if len(entry.samples) != timing.samples:
            yield entry, f"it says that it has {timing.samples} samples, and has {len(entry.samples)}"
        elif median_interval(entry.samples) is not None and (row.low is None or row.high is None):
            yield entry, f"it has {len(entry.samples)} samples and states no interval"


@rule("not-from-samples", "Every time is the median of its samples.")
def _median(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        value = entry.record.measurement.value
        if not entry.samples or value is None or value <= 0 or min(entry.samples) <= 0:
            continue
        stated, found = seconds_of(entry, value, timing.batch), median(entry.samples)
        if not near(stated, found):
            yield entry, f"it says {stated:.6g} s a batch, and the median of its samples is {found:.6g} s"


@rule("impossible-interval", "A time lies in its interval, which is the one that the order of its samples gives.")
def _interval(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        row = entry.record.measurement
        if row.low is None and row.high is None:
            continue
        problem = _interval_problem(entry, timing)
        if problem:
            yield entry, problem


def _interval_problem(entry: Entry, timing: TimeEvidence) -> str:
    row = entry.record.measurement
    low, high, value = row.low, row.high, row.value
    if low is None or high is None or value is None:
        return "its interval has one end only" if entry.samples and len(entry.samples) < 6 else ""
    if low > high:
        return f"its interval goes from {low:.6g} down to {high:.6g}"
    if not low * (1 - EXACT) <= value <= high * (1 + EXACT):
        return f"it is {value:.6g}, outside of its interval from {low:.6g} to {high:.6g}"
    if not entry.samples or low <= 0:
        return ""
    expected = median_interval(entry.samples)
    if expected is None:
        return f"it has {len(entry.samples)} samples, which give no interval, and states one"
    stated = sorted(seconds_of(entry, bound, timing.batch) for bound in (low, high))
    if stated[0] < min(entry.samples) * (1 - EXACT) or stated[1] > max(entry.samples) * (1 + EXACT):
        return "its interval reaches beyond its samples"
    if not all(near(a, b) for a, b in zip(stated, expected, strict=True)):
        return f"its interval is not the one that its samples give ({expected[0]:.6g} to {expected[1]:.6g} s)"
    return ""


@rule("impossible-spread", "Percentiles rise and follow from the samples, as does the half-width of the interval.")
def _percentiles(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        if not entry.samples or min(entry.samples) <= 0:
            continue
        problem = _disordered(timing.percentiles_s)
        expected = percentiles(entry.samples) if timing.inner_loops == 1 else {}
        if problem:
            yield entry, problem
        elif timing.percentiles_s.keys() != expected.keys() or not all(
            near(timing.percentiles_s[name], value) for name, value in expected.items()
        ):
            yield entry, "its percentiles are not those of its samples"
        halfwidth = relative_halfwidth(entry.samples)
        if (halfwidth is None) != (timing.halfwidth is None) or (
            halfwidth is not None and timing.halfwidth is not None and abs(halfwidth - timing.halfwidth) > EXACT
        ):
            yield entry, "the half-width of its interval is not that of its samples"


def _disordered(found: Mapping[str, float]) -> str:
    """Say which percentile is above a higher one."""
    try:
        ordered = sorted((float(name.removeprefix("p")), value) for name, value in found.items())
    except ValueError:
        return "its percentiles have other names than p50, p90 and so on"
    for (lower, a), (upper, b) in pairwise(ordered):
        if a > b:
            return f"its percentile {lower:g} is above its percentile {upper:g}"
    return ""


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
    """Tell whether two numbers are the same but for rounding."""
    return abs(first - second) <= EXACT * max(abs(first), abs(second))
