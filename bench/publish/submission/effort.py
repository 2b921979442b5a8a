"""Whether enough was done: samples, rounds in fresh processes, seconds; and whether noise is owned up to."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.machine.load import disturbances
from claimbench.bench.measure import REPEATED
from claimbench.bench.measure.energy import LEAST_S
from claimbench.bench.measure.timing import FEWEST, QUICK, Effort
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.run.plan import BUDGET_CPU_S, ROUNDS
from claimbench.bench.store.evidence import TimeEvidence

POOLED = 6
"""The fewest samples in all rounds together that give an interval of the median."""

SHARE = 0.3
"""The least share of the sampling time that is in the samples; the rest is between them."""


@rule("too-few-samples", "A time has enough samples: three a round, six in all, and ten where it says that it is sure.")
def _samples(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        if entry.samples:
            problem = _too_few(entry, timing)
            if problem:
                yield entry, problem
    for rounds in case.rounds.values():
        pooled = sum(len(entry.samples) for entry, _ in rounds)
        enough = all(len(entry.samples) + timing.void_samples >= FEWEST for entry, timing in rounds)
        if enough and len(rounds) >= _rounds_wanted(rounds[0][0]) and pooled < POOLED and _is_full(rounds[0][0]):
            yield rounds[0][0], f"its rounds have {pooled} samples together, at least {POOLED} are needed"


def _too_few(entry: Entry, timing: TimeEvidence) -> str:
    count, effort = len(entry.samples), QUICK if timing.quick else Effort()
    if count + timing.void_samples < FEWEST:
        return f"it has {count} samples, at least {FEWEST} are taken"
    sampled = sum(entry.samples) * timing.inner_loops
    if timing.stop == "interval":
        if count < effort.samples:
            return f"it stopped because the interval was narrow, with {count} samples: that takes {effort.samples}"
        if timing.halfwidth is not None and timing.halfwidth > effort.precision * (1 + 1e-9):
            return f"it stopped because the interval was narrow, and that is {timing.halfwidth:.1%} wide"
        least = min(effort.least_s, timing.budget_s)
    else:
        least = timing.budget_s
    if not timing.void_samples and sampled < SHARE * least:
        return f"its samples add up to {sampled:.2g} s, and sampling took at least {least:g} s"
    return ""


@rule("too-few-rounds", f"A time is measured in at least {ROUNDS} fresh processes, but for a quick run.", whole=True)
def _rounds(case: Case) -> Iterator[Doubt]:
    found: dict[str, list[Entry]] = {}
    for entry, _ in case.rows(*REPEATED):
        found.setdefault(entry.record.job.config().key(), []).append(entry)
    for entries in found.values():
        count, wanted = len({entry.record.job.round for entry in entries}), _rounds_wanted(entries[0])
        if count < wanted:
            yield entries[0], f"{count} of at least {wanted} rounds are there"


def _rounds_wanted(entry: Entry) -> int:
    return ROUNDS if _is_full(entry) else 1


def _is_full(entry: Entry) -> bool:
    return not entry.record.job.settings.quick


@rule("quick-as-full", "What was measured with less effort says that it is quick.")
def _quick(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        if timing.quick or entry.record.job.settings.quick:
            case.note("times are from a quick run: one process each, and little time")
            continue
        on_gpu = entry.record.job.settings.device.startswith("cuda")
        least = Effort().budget_s if on_gpu else BUDGET_CPU_S
        if timing.budget_s < least:
            yield entry, f"it was given {timing.budget_s:g} s, and a run that is not quick gives {least:g} s"
    for entry, energy in case.energies:
        if energy.seconds < 0.99 * LEAST_S:
            yield entry, f"its counter ran for {energy.seconds:.2g} s, and for a sure figure it takes {LEAST_S:g} s"


@rule("hidden-noise", "A measurement that was disturbed says so.")
def _noise(case: Case) -> Iterator[Doubt]:
    disturbed = sum(timing.noisy for _, timing in case.timings)
    if disturbed:
        case.note(f"{disturbed} of {len(case.timings)} times say that they are noisy")
    for entry, timing in case.timings:
        found = disturbances(timing.machine)
        if timing.stop == "budget":
            found.append("time was up before the interval was narrow")
        if not timing.warmup.settled:
            found.append("times had not settled after the warm-up")
        if timing.void_samples:
            found.append(f"{timing.void_samples} samples are void")
        if found and not timing.noisy:
            yield entry, f"it is called quiet, and {found[0]}"
        elif timing.noisy != bool(timing.noisy_reasons):
            yield entry, "it is called noisy without a reason, or quiet with one"


@rule("longer-than-it-took", "Warm-up and samples add up to no more than the measurement took.")
def _duration(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        spent = timing.warmup.seconds + sum(entry.samples) * timing.inner_loops
        if spent > timing.machine.seconds * 1.01 + 0.05:
            yield (
                entry,
                (f"warm-up and samples add up to {spent:.3g} s, and all of it took {timing.machine.seconds:.3g} s"),
            )
