"""Rules on physics: no device exceeds its peak or its power limit, and no batch is faster than a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from claimbench.bench.core.statistics import median
from claimbench.bench.measure import REPEATED
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.counts import facts_of
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.publish.submission.spread import near
from claimbench.bench.report import sanity
from claimbench.bench.store.evidence import TimeEvidence

APART = 5.0
"""Two measurements of one thing on one machine differ by less than this factor."""

OVER_LIMIT = 1.1
"""A GPU's mean power over seconds stays within its limit; counters are off by some per cent."""

CPU_WATTS = 1000.0
"""More than a processor package takes; below this many cores, no record states the number of packages."""

CORES_A_PACKAGE = 256


@rule(
    "out-of-range", "A figure lies between the least and the most that its row can be, and times are more than nothing."
)
def _out_of_range(case: Case) -> Iterator[Doubt]:
    for entry in case.measured:
        value, bound = entry.record.measurement.value, sanity.out_of_range(entry.record)
        if sanity.too_low(entry.record):
            yield entry, f"it is {value:g}"
        elif bound:
            yield entry, f"it is {value:g}, and can be {bound}"
        elif entry.record.job.metric != "accuracy" and any(sample <= 0 for sample in entry.samples):
            yield entry, "one of its samples is no time at all, or less"


@rule("above-peak", "No model does more operations a second than its device can.")
def _above_peak(case: Case) -> Iterator[Doubt]:
    for entry, timing in case.timings:
        facts = facts_of(case, entry)
        if facts is None or facts.flops is None or not entry.samples or min(entry.samples) <= 0:
            continue
        settings, environment = entry.record.job.settings, case.submission.environment
        peak = peak_of(environment, settings.precision, settings.threads)
        stated = entry.record.measurement.value or 0
        # The stated value and that of the samples are both held against the peak: either could be made up.
        images = max(_images_a_second(entry, stated, timing), timing.batch / median(entry.samples))
        rate = images * facts.flops
        if rate > peak:
            yield (
                entry,
                (
                    f"it would do {rate / sanity.T:.3g} TFLOP/s ({facts.flops / 1e9:.3g} G a picture), more than the "
                    f"{peak / sanity.T:.3g} of {environment['device']} in {settings.precision}"
                ),
            )


def _images_a_second(entry: Entry, value: float, timing: TimeEvidence) -> float:
    if entry.record.measurement.metric == "throughput":
        return value
    return timing.batch / value if value > 0 else 0.0


def peak_of(environment: Mapping[str, Any], precision: str, threads: int | None = None) -> float:
    """Return more FLOP/s than the device can do; for an unknown one, more than any device can."""
    known = sanity.peak_flops(environment, precision)
    if environment["gpu"] is not None:
        fastest = max(peaks.get(precision, 0.0) for peaks in sanity.PEAKS.values())
        return known or fastest or max(max(peaks.values()) for peaks in sanity.PEAKS.values())
    cores = environment["cpu"]["usable_cores"]
    if known is None:
        best = {**environment, "cpu": {"usable_cores": cores, "architecture": "x86_64", "level": "x86_64_v4"}}
        known = sanity.peak_flops(best, precision) or 0.0
    return known * min(threads or cores, cores) / cores


@rule("latency-throughput", "Latency and throughput of one model, and the rounds of one figure, are of one magnitude.")
def _magnitudes(case: Case) -> Iterator[Doubt]:
    seconds: dict[tuple[object, ...], list[tuple[Entry, int, float]]] = defaultdict(list)
    for rounds in case.rounds.values():
        medians = [median(entry.samples) for entry, _ in rounds if entry.samples]
        if not medians or min(medians) <= 0:
            continue
        (entry, timing), middle = rounds[0], median(medians)
        if max(medians) > APART * min(medians):
            yield entry, f"its rounds take from {min(medians):.3g} to {max(medians):.3g} s"
        job = entry.record.job
        key = (job.paper, job.subject, job.form, replace(job.settings, batch=None))
        seconds[key].append((entry, timing.batch, middle))
    for found in seconds.values():
        yield from _inconsistent(found)


def _inconsistent(found: list[tuple[Entry, int, float]]) -> Iterator[Doubt]:
    """Compare each throughput with each latency: a batch takes no less than a picture, and no more than all of them."""
    by_metric = {metric: [f for f in found if f[0].record.job.metric == metric] for metric in REPEATED}
    for entry, batch, time in by_metric["throughput"]:
        for _, other_batch, other_time in by_metric["latency"]:
            ratio = batch / other_batch
            if not other_time * min(1, ratio) / APART <= time <= other_time * max(1, ratio) * APART:
                yield (
                    entry,
                    (
                        f"a batch of {batch} takes {time:.3g} s by the throughput, and one of {other_batch} "
                        f"{other_time:.3g} s by the latency"
                    ),
                )


@rule("above-power", "No device takes more energy than its power limit allows in the time.")
def _power(case: Case) -> Iterator[Doubt]:
    gpu, cores = case.submission.environment["gpu"], case.submission.environment["cpu"]["usable_cores"]
    limit = (gpu or {}).get("power_limit_w") if gpu else CPU_WATTS * (1 + cores // CORES_A_PACKAGE)
    for entry, energy in case.energies:
        value = entry.record.measurement.value or 0
        watts = max(energy.joules, value * energy.images) / energy.seconds
        if limit is None:
            case.note("the GPU's power limit is not stated: energy is not held against it")
        elif watts > limit * OVER_LIMIT:
            yield entry, f"it takes {watts:.0f} W, and the limit is {limit:.0f} W"


@rule("energy-evidence", "Energy is joules over images, at about the speed that the throughput says.")
def _energy(case: Case) -> Iterator[Doubt]:
    speeds = {
        (entry.record.job.paper, entry.record.job.subject, entry.record.job.form, entry.record.job.settings): value
        for entry, value in case.rows("throughput")
    }
    for entry, energy in case.energies:
        job, value = entry.record.job, entry.record.measurement.value or 0
        if not near(value, energy.joules / energy.images):
            yield entry, f"it is {value:g} J, and {energy.joules:g} J over {energy.images} images are not"
        elif not near(energy.mean_power_w, energy.joules / energy.seconds):
            yield entry, "its mean power is not its energy over its time"
        elif energy.images % energy.batch:
            yield entry, f"{energy.images} images are not made of batches of {energy.batch}"
        speed, found = speeds.get((job.paper, job.subject, job.form, job.settings)), energy.images / energy.seconds
        if speed is not None and speed > 0 and not 1 / APART <= found / speed <= APART:
            yield entry, f"it ran {found:.3g} images a second, and the throughput is {speed:.3g}"
