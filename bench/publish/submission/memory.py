"""Rules on memory: it holds all that must lie in it, and it does not exceed the device's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import prod

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import resize
from claimbench.bench.core.statistics import median
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.store.evidence import IncreaseEvidence, PeakEvidence, TrainingPeakEvidence, read
from claimbench.bench.tasks.subject import DTYPES

ROWS = (
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
def _above(case: Case) -> Iterator[Doubt]:
    environment = case.submission.environment
    gpu = environment["gpu"]
    size = gpu.get("memory_bytes") if gpu is not None else environment["memory_bytes"]
    if size is None:
        case.note("the device does not state how much memory it has: figures are not held against it")
        return
    for entry, value in case.rows(*ROWS):
        if value > size:
            yield entry, f"it is {value / 2**20:,.0f} MiB, and the device has {size / 2**20:,.0f} MiB"


@rule("memory-adds-up", "Memory figures follow from each other and from their repeats, and hold weights and input.")
def _adds_up(case: Case) -> Iterator[Doubt]:
    jobs: dict[str, dict[str, tuple[Entry, float]]] = defaultdict(dict)
    for entry, value in case.rows(*ROWS):
        jobs[entry.record.job.key()][entry.record.measurement.metric] = (entry, value)
        yield from ((entry, problem) for problem in _own_evidence(case, entry, value))
    for rows in jobs.values():
        yield from _together(rows)


def _own_evidence(case: Case, entry: Entry, value: float) -> Iterator[str]:
    """Hold a row against its own repeats."""
    evidence = read(entry.record.measurement)
    if isinstance(evidence, TrainingPeakEvidence):
        if value != round(median(evidence.repeats_b)) + evidence.weights_b:
            yield "it is not the median of its repeats and the weights"
        elif value < evidence.weights_b + ROUNDED * evidence.gradients_b:
            yield "it does not hold the weights and their gradients"
    elif isinstance(evidence, PeakEvidence):
        least = _input_bytes(case, entry)
        if value != round(median(evidence.repeats_b)):
            yield "it is not the median of its repeats"
        elif least is not None and value < least:
            yield f"it is {value:,.0f} bytes, and the batch alone takes {least:,}"
    elif isinstance(evidence, IncreaseEvidence):
        batch, twice = evidence.batches
        if twice != 2 * batch or abs(value * batch - (evidence.peaks_b[1] - evidence.peaks_b[0])) > 1:
            yield "it is not the difference of its peaks an image"


def _input_bytes(case: Case, entry: Entry) -> int | None:
    """Return the bytes of a batch of inputs."""
    job = entry.record.job
    try:
        shape = case.models.own(job).options.sample_shape
    except UserError:
        return None
    dtype = DTYPES.get(job.settings.precision)
    if not shape or dtype is None:
        return None
    return (job.settings.batch or 1) * prod(resize(shape, job.settings.input_size)) * dtype.itemsize


def _together(rows: dict[str, tuple[Entry, float]]) -> Iterator[Doubt]:
    """Hold the rows of one job against each other."""
    value = {name: found[1] for name, found in rows.items()}
    weights, peak, both = (value.get(name) for name in ("memory_weights", "memory_peak", "memory_with_weights"))
    if both is not None and weights is not None and both < weights:
        yield rows["memory_with_weights"][0], f"it is {both:,.0f} bytes, and the weights alone take {weights:,.0f}"
    elif both is not None and weights is not None and peak is not None and both != peak + weights:
        yield rows["memory_with_weights"][0], "it is not the sum of the peak and the weights"
    reserved, used = value.get("memory_reserved"), value.get("memory_device")
    if reserved is not None and both is not None and reserved < ROUNDED * both:
        yield rows["memory_reserved"][0], "less is reserved than is used"
    if used is not None and reserved is not None and used < ROUNDED * reserved:
        yield rows["memory_device"][0], "less is used on the GPU than torch has reserved"
    if "memory_per_image" in rows and peak is not None:
        evidence = read(rows["memory_per_image"][0].record.measurement)
        if isinstance(evidence, IncreaseEvidence) and round(evidence.peaks_b[0]) != peak:
            yield rows["memory_per_image"][0], "its smaller peak is not the peak that is stated"
