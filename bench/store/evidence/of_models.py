"""Evidence of what a model costs, and of its equality to the official code: a class for each kind of row."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from claimbench.bench.machine.load import MachineReport
from claimbench.bench.store.evidence.fields import Count, NotNegative, Positive, RowEvidence, Some, Stop


class ParameterEvidence(RowEvidence):
    """Evidence of ``params``, in numbers of elements."""

    tensors: Count
    buffer_elements: Count
    by_module: dict[str, Count]


class SecondOpinion(RowEvidence):
    """fvcore's count of the same model, and whether it agrees with ``macs``."""

    counter: str
    macs: Count
    relative_difference: float
    agrees: bool


class MacsEvidence(RowEvidence):
    """Evidence of ``macs``, in FLOPs; ``second_opinion`` is None if fvcore was not asked or cannot trace the model."""

    by_operator: dict[str, int | float]
    by_module: dict[str, int | float]
    free_calls: dict[str, Count]
    note: str | None = None
    second_opinion: SecondOpinion | None = None


class FvcoreEvidence(RowEvidence):
    """Evidence of ``macs_fvcore``, in multiply-adds; see :class:`claimbench.bench.measure.fvcore_count.FvcoreCount`."""

    by_operator: dict[str, Count]
    own_handlers_only: Count
    added_handlers: list[str]
    products: Count
    uncounted_calls: dict[str, Count]


class WarmUp(RowEvidence):
    """The warm-up: whether medians of windows settled to 1 %, the number of windows, and the seconds."""

    settled: bool
    windows: Count
    seconds: NotNegative
    first_call_s: NotNegative


class TriedBatch(RowEvidence):
    """A batch that a search tried: inputs a second, or the reason that the search stopped at it."""

    batch: Some
    img_s: Positive | None = None
    stopped: str | None = None


class Flushed(RowEvidence):
    """The throughput with the GPU's L2 cache flushed before each sample; samples are seconds a batch."""

    img_s: Positive
    samples_s: list[Positive]


class TimeEvidence(RowEvidence):
    """Evidence of ``throughput`` and ``latency``; see :class:`claimbench.bench.measure.timing.Timing`.

    Attributes:
        batch: inputs a step.
        stop: the reason for the end: ``interval``, it was narrow enough, or ``budget``, the time was up.
        inner_loops: steps inside one sample.
        halfwidth: of the median's interval, relative; None with too few samples.
        percentiles_s: of single calls, in seconds.
        batch_search: the batches that were tried; None if the batch was given.
    """

    batch: Some
    stop: Stop
    quick: bool
    noisy: bool
    noisy_reasons: list[str]
    samples: Count
    void_samples: Count
    inner_loops: Some
    halfwidth: float | None
    percentiles_s: dict[str, float]
    warmup: WarmUp
    budget_s: Positive
    machine: MachineReport
    batch_search: list[TriedBatch] | None = None
    l2_flushed: Flushed | None = None


class EnergyEvidence(RowEvidence):
    """Evidence of ``energy``."""

    batch: Some
    images: Some
    joules: Positive
    seconds: Positive
    mean_power_w: Positive
    quick: bool
    noisy_reasons: list[str]
    machine: MachineReport


class PeakEvidence(RowEvidence):
    """Evidence of ``memory_peak``, in bytes."""

    batch: Some
    repeats_b: Annotated[list[int], Field(min_length=1)]


class TrainingPeakEvidence(PeakEvidence):
    """Evidence of ``memory_training``, in bytes."""

    weights_b: Some
    gradients_b: Count


class IncreaseEvidence(RowEvidence):
    """Evidence of ``memory_per_image``: the peaks at two batches, in bytes."""

    batches: Annotated[list[Some], Field(min_length=2, max_length=2)]
    peaks_b: Annotated[list[float], Field(min_length=2, max_length=2)]


class DeviceMemoryEvidence(RowEvidence):
    """Evidence of ``memory_device``."""

    other_processes: Count | None = None


def _not_less(value: float) -> float:
    if value < 0:  # NaN passes: a model may output it, and its row has then failed
        raise ValueError("a difference is not less than nothing")
    return value


Distance = Annotated[float, AfterValidator(_not_less)]


class OutputEvidence(RowEvidence):
    """The difference of one output from a golden's."""

    max_abs: Distance
    max_rel: Distance
    l2_rel: Distance
    mean_rel: Distance


class GoldenEvidence(RowEvidence):
    """The comparison of a model with one golden; an output that could not be compared holds the reason.

    ``float32_inside`` is the reason for a tolerance that the golden states itself. A part may have no parameters.
    """

    file: str
    variant: str
    dtype: str
    tolerance: Positive
    float32_inside: str = ""
    passed: bool
    params: Count | None
    params_official: int | None
    outputs: Annotated[dict[str, OutputEvidence | str], Field(min_length=1)]


class ParityEvidence(RowEvidence):
    """Evidence of ``parity``."""

    goldens: Annotated[list[GoldenEvidence], Field(min_length=1)]
    passed: bool
