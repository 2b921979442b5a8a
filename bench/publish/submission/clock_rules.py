"""Rules on repeated measurements: figures follow from their samples, samples look like time, and enough was done."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.statistics import median, median_interval, percentiles, relative_halfwidth
from claimbench.bench.machine.load import disturbances
from claimbench.bench.measure import REPEATED
from claimbench.bench.measure.energy import LEAST_S
from claimbench.bench.measure.timing import FEWEST, QUICK, Effort
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.rules import Case, Doubt, each, rounds, rule
from claimbench.bench.run.plan import BUDGET_CPU_S, ROUNDS
from claimbench.bench.store.encoding import encode_samples
from claimbench.bench.store.evidence.of_models import EnergyEvidence, TimeEvidence

EXACT = 1e-9
"""Rounding of the last digits, relative."""

ALIKE = 1e-6
"""Samples that differ by less, relative, were not read from a clock."""

FEW = 3

POOLED = 6
"""The fewest samples in all rounds together that give an interval of the median."""

SHARE = 0.3
"""The least share of the sampling time that is in the samples; the rest is between them."""


@rule(
    "not-from-samples",
    "A time comes with all of its samples: the figure, its interval and its percentiles are those that they give.",
)
@each(TimeEvidence)
def _figures(case: Case, entry: Entry, timing: TimeEvidence) -> Iterator[str]:
    row, samples = entry.row, entry.samples
    if not samples and not entry.record.samples_key:
        yield "it has no samples"
    elif samples and len(samples) != timing.samples:
        yield f"it says that it has {timing.samples} samples, and has {len(samples)}"
    elif samples and min(samples) > 0:
        middle, (low, high) = median(samples), median_interval(samples) or (None, None)
        if row.metric == "throughput":
            middle = timing.batch / middle
            low, high = (None if time is None else timing.batch / time for time in (high, low))
        if not _same(row.value, middle):
            yield f"it is {row.value:.6g}, and its samples give {middle:.6g}"
        if not (_same(row.low, low) and _same(row.high, high)):
            yield f"its interval is {_range(row.low, row.high)}, and its samples give {_range(low, high)}"
        width = relative_halfwidth(samples)
        if (width is None) != (timing.halfwidth is None) or abs((width or 0) - (timing.halfwidth or 0)) > EXACT:
            yield "the half-width of its interval is not that of its samples"
        expected, stated = percentiles(samples) if timing.inner_loops == 1 else {}, timing.percentiles_s
        if stated.keys() != expected.keys() or not all(near(stated[name], value) for name, value in expected.items()):
            yield "its percentiles are not those of its samples"


def near(first: float, second: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return abs(first - second) <= EXACT * max(abs(first), abs(second))


def _same(stated: float | None, found: float | None) -> bool:
    return stated is found if stated is None or found is None else near(stated, found)


def _range(low: float | None, high: float | None) -> str:
    ends = ["none" if end is None else f"{end:.6g}" for end in (low, high)]
    return "none" if low is None and high is None else f"from {ends[0]} to {ends[1]}"


@rule("identical-samples", "Samples of a time differ, as readings of a clock do.")
@each(TimeEvidence)
def _identical(case: Case, entry: Entry, timing: TimeEvidence) -> Iterator[str]:
    samples = entry.samples
    if len(samples) >= FEW and max(samples) - min(samples) <= ALIKE * max(samples):
        yield f"its {len(samples)} samples are all the same"


@rule("copied-samples", "No two figures rest on the same samples.")
def _copied(case: Case) -> Iterator[Doubt]:
    first: dict[str, Entry] = {}
    for entry in case.entries:
        if len(entry.samples) >= FEW:
            other = first.setdefault(encode_samples(sorted(entry.samples))[0], entry)
            if other is not entry:
                yield entry, f"its samples are those of line {other.line} ({other.name})"


@rule("too-few-samples", "A time has enough samples: three a round, six in all, and ten where it says that it is sure.")
def _samples(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.of(TimeEvidence):
        problem = _too_few(entry, timing) if entry.samples else ""
        if problem:
            yield entry, problem
    for entries in rounds(entry for entry, _ in case.of(TimeEvidence)):
        pooled, first = sum(len(entry.samples) for entry in entries), entries[0]
        enough = all(len(entry.samples) + entry.evidence.void_samples >= FEWEST for entry in entries)
        if enough and len(entries) >= ROUNDS and pooled < POOLED and not first.job.settings.quick:
            yield first, f"its rounds have {pooled} samples together, at least {POOLED} are needed"


def _too_few(entry: Entry, timing: TimeEvidence) -> str:
    count, effort, least = len(entry.samples), QUICK if timing.quick else Effort(), timing.budget_s
    if count + timing.void_samples < FEWEST:
        return f"it has {count} samples, at least {FEWEST} are taken"
    if timing.stop == "interval":
        least = min(effort.least_s, least)
        stopped = "it stopped because the interval was narrow,"
        if count < effort.samples:
            return f"{stopped} with {count} samples: that takes {effort.samples}"
        if timing.halfwidth is not None and timing.halfwidth > effort.precision * (1 + EXACT):
            return f"{stopped} and that is {timing.halfwidth:.1%} wide"
    sampled = sum(entry.samples) * timing.inner_loops
    if not timing.void_samples and sampled < SHARE * least:
        return f"its samples add up to {sampled:.2g} s, and sampling took at least {least:g} s"
    return ""


@rule("too-few-rounds", f"A time is measured in at least {ROUNDS} fresh processes, but for a quick run.", whole=True)
def _rounds(case: Case) -> Iterator[Doubt]:
    for entries in rounds(entry for entry, _ in case.rows(*REPEATED)):
        count = len({entry.job.round for entry in entries})
        if count < ROUNDS and not entries[0].job.settings.quick:
            yield entries[0], f"{count} of at least {ROUNDS} rounds are there"


@rule("quick-as-full", "What was measured with less effort says that it is quick.")
def _quick(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.of(TimeEvidence):
        settings = entry.job.settings
        least = Effort().budget_s if settings.device.startswith("cuda") else BUDGET_CPU_S
        if timing.quick or settings.quick:
            case.note("times are from a quick run: one process each, and little time")
        elif timing.budget_s < least:
            yield entry, f"it was given {timing.budget_s:g} s, and a run that is not quick gives {least:g} s"
    for entry, energy in case.of(EnergyEvidence):
        if energy.seconds < 0.99 * LEAST_S:
            yield entry, f"its counter ran for {energy.seconds:.2g} s, and for a sure figure it takes {LEAST_S:g} s"


@rule("hidden-noise", "A measurement that was disturbed says so.")
def _noise(case: Case) -> Iterator[Doubt]:
    timings = case.of(TimeEvidence)
    disturbed = sum(timing.noisy for _, timing in timings)
    if disturbed:
        case.note(f"{disturbed} of {len(timings)} times say that they are noisy")
    for entry, timing in timings:
        others = {
            "time was up before the interval was narrow": timing.stop == "budget",
            "times had not settled after the warm-up": not timing.warmup.settled,
            f"{timing.void_samples} samples are void": timing.void_samples,
        }
        found = [*disturbances(timing.machine), *(reason for reason, true in others.items() if true)]
        if found and not timing.noisy:
            yield entry, f"it is called quiet, and {found[0]}"
        elif timing.noisy != bool(timing.noisy_reasons):
            yield entry, "it is called noisy without a reason, or quiet with one"


@rule("longer-than-it-took", "Warm-up and samples add up to no more than the measurement took.")
@each(TimeEvidence)
def _duration(case: Case, entry: Entry, timing: TimeEvidence) -> Iterator[str]:
    spent = timing.warmup.seconds + sum(entry.samples) * timing.inner_loops
    if spent > timing.machine.seconds * 1.01 + 0.05:
        yield f"warm-up and samples add up to {spent:.3g} s, and all of it took {timing.machine.seconds:.3g} s"
