"""Rules on physics: no device exceeds its peak, its power limit or its memory, which holds all that must lie in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import resize
from claimbench.bench.core.statistics import median
from claimbench.bench.measure import REPEATED
from claimbench.bench.publish.submission.clock_rules import near
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.models import subject_of
from claimbench.bench.publish.submission.rules import Case, Doubt, each, rounds, rule
from claimbench.bench.report import sanity
from claimbench.bench.store.evidence.of_models import (
    EnergyEvidence,
    IncreaseEvidence,
    PeakEvidence,
    TimeEvidence,
    TrainingPeakEvidence,
)
from claimbench.bench.tasks.subject import DTYPES

APART = 5.0
"""Two measurements of one thing on one machine differ by less than this factor."""

OVER_LIMIT = 1.1
"""A GPU's mean power over seconds stays within its limit; counters are off by some per cent."""

CPU_WATTS = 1000.0
"""More than a processor package takes; below this many cores, no record states the number of packages."""

CORES_A_PACKAGE = 256

MEMORY = (
    "memory_peak",
    "memory_with_weights",
    "memory_weights",
    "memory_per_image",
    "memory_reserved",
    "memory_device",
    "memory_training",
)

ROUNDED = 0.98
"""Allocators round, and the memory held before is not always counted to the byte."""


@rule("above-memory", "Nothing takes more memory than the device has.")
def _above_memory(case: Case) -> Iterator[Doubt]:
    gpu = case.environment["gpu"]
    size = case.environment["memory_bytes"] if gpu is None else gpu.get("memory_bytes")
    if size is None:
        case.note("the device does not state how much memory it has: figures are not held against it")
        return
    for entry, value in case.rows(*MEMORY):
        if value > size:
            yield entry, f"it is {value / 2**20:,.0f} MiB, and the device has {size / 2**20:,.0f} MiB"


@rule("memory-adds-up", "Memory figures follow from each other and from their repeats, and hold weights and input.")
def _memory(case: Case) -> Iterator[Doubt]:
    jobs: dict[str, dict[str, tuple[Entry, float]]] = defaultdict(dict)
    for entry, value in case.rows(*MEMORY):
        jobs[entry.job.key()][entry.row.metric] = (entry, value)
        yield from ((entry, problem) for problem in _own_evidence(case, entry, value))
    for rows in jobs.values():
        yield from _together(rows)


def _own_evidence(case: Case, entry: Entry, value: float) -> Iterator[str]:
    """Hold a row against its own repeats."""
    evidence = entry.evidence
    if isinstance(evidence, TrainingPeakEvidence):
        if value != round(median(evidence.repeats_b)) + evidence.weights_b:
            yield "it is not the median of its repeats and the weights"
        elif value < evidence.weights_b + ROUNDED * evidence.gradients_b:
            yield "it does not hold the weights and their gradients"
    elif isinstance(evidence, PeakEvidence):
        least = _input_bytes(case, entry)
        if value != round(median(evidence.repeats_b)):
            yield "it is not the median of its repeats"
        elif value < least:
            yield f"it is {value:,.0f} bytes, and the batch alone takes {least:,}"
    elif isinstance(evidence, IncreaseEvidence):
        batch, twice = evidence.batches
        if twice != 2 * batch or abs(value * batch - (evidence.peaks_b[1] - evidence.peaks_b[0])) > 1:
            yield "it is not the difference of its peaks an image"


def _input_bytes(case: Case, entry: Entry) -> int:
    """Return the bytes of a batch of inputs, 0 if they are not known."""
    settings, dtype = entry.job.settings, DTYPES.get(entry.job.settings.precision)
    try:
        shape = case.models.own(entry.job).options.sample_shape
    except UserError:
        return 0
    size = prod(resize(shape, settings.input_size)) if shape else 0
    return (settings.batch or 1) * size * dtype.itemsize if dtype else 0


def _together(rows: dict[str, tuple[Entry, float]]) -> Iterator[Doubt]:
    """Hold the rows of one job against each other."""
    value = {name: found[1] for name, found in rows.items()}
    weights, peak, both, reserved, used = (
        value.get(f"memory_{name}") for name in ("weights", "peak", "with_weights", "reserved", "device")
    )
    if both is not None and weights is not None and both < weights:
        yield rows["memory_with_weights"][0], f"it is {both:,.0f} bytes, and the weights alone take {weights:,.0f}"
    elif both is not None and weights is not None and peak is not None and both != peak + weights:
        yield rows["memory_with_weights"][0], "it is not the sum of the peak and the weights"
    if reserved is not None and both is not None and reserved < ROUNDED * both:
        yield rows["memory_reserved"][0], "less is reserved than is used"
    if used is not None and reserved is not None and used < ROUNDED * reserved:
        yield rows["memory_device"][0], "less is used on the GPU than torch has reserved"
    if "memory_per_image" in rows and peak is not None:
        image = rows["memory_per_image"][0]
        if isinstance(image.evidence, IncreaseEvidence) and round(image.evidence.peaks_b[0]) != peak:
            yield image, "its smaller peak is not the peak that is stated"


@rule(
    "out-of-range", "A figure lies between the least and the most that its row can be, and times are more than nothing."
)
def _out_of_range(case: Case) -> Iterator[Doubt]:
    for entry, value in case.measured:
        bound = sanity.out_of_range(entry.record)
        if sanity.too_low(entry.record):
            yield entry, f"it is {value:g}"
        elif bound:
            yield entry, f"it is {value:g}, and can be {bound}"
        elif entry.job.metric != "accuracy" and any(sample <= 0 for sample in entry.samples):
            yield entry, "one of its samples is no time at all, or less"


@rule("above-peak", "No model does more operations a second than its device can.")
@each(TimeEvidence)
def _above_peak(case: Case, entry: Entry, timing: TimeEvidence) -> Iterator[str]:
    facts, settings = case.facts(entry), entry.job.settings
    if facts is None or facts.flops is None or not entry.samples or min(entry.samples) <= 0:
        return
    peak = peak_of(case.environment, settings.precision, settings.threads)
    stated = entry.row.value or 0
    if entry.row.metric == "latency":
        stated = timing.batch / stated if stated > 0 else 0
    # The stated value and that of the samples are both held against the peak: either could be made up.
    rate = max(stated, timing.batch / median(entry.samples)) * facts.flops
    if rate > peak:
        yield (
            f"it would do {rate / sanity.T:.3g} TFLOP/s ({facts.flops / 1e9:.3g} G a picture), more than the "
            f"{peak / sanity.T:.3g} of {case.environment['device']} in {settings.precision}"
        )


def peak_of(environment: Mapping[str, Any], precision: str, threads: int | None) -> float:
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
    """Compare each throughput with each latency: a batch takes no less than a picture, and no more than all of them."""
    times: dict[tuple[object, ...], dict[str, list[tuple[Entry, int, float]]]] = {}
    for entries in rounds(entry for entry, _ in case.of(TimeEvidence)):
        medians = [median(entry.samples) for entry in entries if entry.samples]
        if not medians or min(medians) <= 0:
            continue
        first, job = entries[0], entries[0].job
        if max(medians) > APART * min(medians):
            yield first, f"its rounds take from {min(medians):.3g} to {max(medians):.3g} s"
        found = times.setdefault((*subject_of(job), replace(job.settings, batch=None)), defaultdict(list))
        found[job.metric].append((first, first.evidence.batch, median(medians)))
    for found in times.values():
        for (entry, batch, time), (_, other_batch, other_time) in product(*(found[metric] for metric in REPEATED)):
            ratio = batch / other_batch
            if not other_time * min(1, ratio) / APART <= time <= other_time * max(1, ratio) * APART:
                by = f"takes {time:.3g} s by the throughput, and one of {other_batch} {other_time:.3g} s by the latency"
                yield entry, f"a batch of {batch} {by}"


@rule("above-power", "No device takes more energy than its power limit allows in the time.")
@each(EnergyEvidence)
def _power(case: Case, entry: Entry, energy: EnergyEvidence) -> Iterator[str]:
    gpu, cores = case.environment["gpu"], case.environment["cpu"]["usable_cores"]
    limit = CPU_WATTS * (1 + cores // CORES_A_PACKAGE) if gpu is None else gpu.get("power_limit_w")
    watts = max(energy.joules, (entry.row.value or 0) * energy.images) / energy.seconds
    if limit is None:
        case.note("the GPU's power limit is not stated: energy is not held against it")
    elif watts > limit * OVER_LIMIT:
        yield f"it takes {watts:.0f} W, and the limit is {limit:.0f} W"


@rule("energy-evidence", "Energy is joules over images, at about the speed that the throughput says.")
def _energy(case: Case) -> Iterator[Doubt]:
    speeds = {(*subject_of(entry.job), entry.job.settings): value for entry, value in case.rows("throughput")}
    for entry, energy in case.of(EnergyEvidence):
        value, found = entry.row.value or 0, energy.images / energy.seconds
        if not near(value, energy.joules / energy.images):
            yield entry, f"it is {value:g} J, and {energy.joules:g} J over {energy.images} images are not"
        elif not near(energy.mean_power_w, energy.joules / energy.seconds):
            yield entry, "its mean power is not its energy over its time"
        elif energy.images % energy.batch:
            yield entry, f"{energy.images} images are not made of batches of {energy.batch}"
        speed = speeds.get((*subject_of(entry.job), entry.job.settings), 0)
        if speed > 0 and not 1 / APART <= found / speed <= APART:
            yield entry, f"it ran {found:.3g} images a second, and the throughput is {speed:.3g}"
