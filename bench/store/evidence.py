"""The evidence in a record's ``detail``, typed: what the measuring side writes there, and a rule that it is there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from claimbench.bench.core.records import Measurement

Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class _Evidence(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class GpuState(_Evidence):
    """Of :meth:`claimbench.bench.machine.nvml.Gpu.state`, what is looked at here."""

    other_processes: Count = 0


class State(_Evidence):
    """Of :meth:`claimbench.bench.machine.load.Machine.state`, what is looked at here."""

    gpu: GpuState | None


class Machine(_Evidence):
    """As :meth:`claimbench.bench.machine.load.Machine.finish` reports it."""

    before: State
    after: State
    others_cores: NotNegative
    stolen: float
    seconds: Positive


class WarmUp(_Evidence):
    """As :class:`claimbench.bench.measure.timing.WarmUp`."""

    settled: bool
    windows: Count
    seconds: NotNegative


class Timing(_Evidence):
    """As :meth:`claimbench.bench.measure.timing.Timing.detail`, with the batch."""

    batch: Some
    stop: Literal["interval", "budget"]
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
    machine: Machine


class Energy(_Evidence):
    """As :mod:`claimbench.bench.measure.energy` writes it."""

    batch: Some
    images: Some
    joules: Positive
    seconds: Positive
    mean_power_w: Positive
    quick: bool
    machine: Machine


class Score(_Evidence):
    """As :mod:`claimbench.bench.tasks.image_classification.evaluate` writes it with ``top1`` and, but for the classes,
    with ``top5``.
    """

    correct: Count
    images: Some


class FullScore(Score):
    """What ``top1`` has beyond."""

    images_in_folder: Some
    classes: Annotated[int, Field(ge=2)]


class Difference(_Evidence):
    """How one output differs from a golden's."""

    max_abs: NotNegative
    max_rel: NotNegative
    l2_rel: NotNegative
    mean_rel: NotNegative


class GoldenResult(_Evidence):
    """As :func:`claimbench.bench.measure.parity.as_detail`."""

    file: str
    variant: str
    dtype: str
    tolerance: Positive
    float32_inside: str = ""
    passed: bool
    params: Some
    outputs: Annotated[dict[str, Difference | str], Field(min_length=1)]


class Parity(_Evidence):
    """As :mod:`claimbench.bench.measure.parity` writes it."""

    goldens: Annotated[list[GoldenResult], Field(min_length=1)]
    passed: bool


class FvcoreCount(_Evidence):
    """As :mod:`claimbench.bench.measure.flops` writes it with ``macs_fvcore``."""

    by_operator: dict[str, Count]
    products: Count


class SecondOpinion(_Evidence):
    """As :mod:`claimbench.bench.measure.flops` writes it with ``macs``."""

    macs: Count
    relative_difference: float
    agrees: bool


class Macs(_Evidence):
    """See above; absent where fvcore was not asked or could not follow the model."""

    second_opinion: SecondOpinion | None = None


class Peak(_Evidence):
    """As :mod:`claimbench.bench.measure.memory` writes it with ``memory_peak``."""

    batch: Some
    repeats_b: Annotated[list[int], Field(min_length=1)]


class TrainingPeak(Peak):
    """What ``memory_training`` has beyond."""

    weights_b: Some
    gradients_b: Count


class Increase(_Evidence):
    """As :mod:`claimbench.bench.measure.memory` writes it with ``memory_per_image``."""

    batches: Annotated[list[Some], Field(min_length=2, max_length=2)]
    peaks_b: Annotated[list[float], Field(min_length=2, max_length=2)]


EVIDENCE: dict[str, type[BaseModel]] = {
    "throughput": Timing,
    "latency": Timing,
    "energy": Energy,
    "macs": Macs,
    "macs_fvcore": FvcoreCount,
    "top1": FullScore,
    "top5": Score,
    "parity": Parity,
    "memory_peak": Peak,
    "memory_training": TrainingPeak,
    "memory_per_image": Increase,
}
"""What the detail of a measured row must hold, by row."""


def read(row: Measurement) -> Any:
    """Return the evidence of a measured row; None where it cannot be read, or where the row needs none."""
    model = EVIDENCE.get(row.metric)
    try:
        return None if model is None else model.model_validate(row.detail)
    except ValidationError:
        return None


def timing_of(row: Measurement) -> Timing | None:
    """Return the evidence of a time."""
    found = read(row)
    return found if isinstance(found, Timing) else None


def energy_of(row: Measurement) -> Energy | None:
    """Return the evidence of an energy."""
    found = read(row)
    return found if isinstance(found, Energy) else None
