"""The evidence of a row by its name, read back from a record."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from claimbench.bench.core.records import Measurement
from claimbench.bench.machine.load import MachineReport
from claimbench.bench.store.evidence.fields import RowEvidence
from claimbench.bench.store.evidence.of_models import (
    DeviceMemoryEvidence,
    EnergyEvidence,
    FvcoreEvidence,
    IncreaseEvidence,
    MacsEvidence,
    ParameterEvidence,
    ParityEvidence,
    PeakEvidence,
    SecondOpinion,
    TimeEvidence,
    TrainingPeakEvidence,
)
from claimbench.bench.store.evidence.of_scores import (
    AttributeEvidence,
    CorruptionAccuracyEvidence,
    CorruptionErrorEvidence,
    DataEvidence,
    DetectionEvidence,
    EnlargementEvidence,
    FirstHitsEvidence,
    GainEvidence,
    HitsEvidence,
    ParsingEvidence,
    PictureEvidence,
    ProbeEvidence,
    RankingEvidence,
    SegmentationEvidence,
    StructureEvidence,
    StudyEvidence,
    TokenizationEvidence,
    WholeSegmentationEvidence,
)

ROWS: dict[str, type[RowEvidence]] = {
    "params": ParameterEvidence,
    "macs": MacsEvidence,
    "macs_fvcore": FvcoreEvidence,
    "throughput": TimeEvidence,
    "latency": TimeEvidence,
    "energy": EnergyEvidence,
    "memory_peak": PeakEvidence,
    "memory_training": TrainingPeakEvidence,
    "memory_per_image": IncreaseEvidence,
    "memory_device": DeviceMemoryEvidence,
    "parity": ParityEvidence,
    "study_accuracy": StudyEvidence,
    "imagenet_c_top1": CorruptionAccuracyEvidence,
    "imagenet_c_mce": CorruptionErrorEvidence,
}
"""The class of a row's evidence, by the row's name."""

SCORES: dict[str, type[RowEvidence]] = {
    "reconstruction": TokenizationEvidence,
    "token": TokenizationEvidence,
    "probe_top1": ProbeEvidence,
    "probe_gain": GainEvidence,
    "top1": FirstHitsEvidence,
    "top5": HitsEvidence,
    "pixel_accuracy": SegmentationEvidence,
    "trimap_miou": SegmentationEvidence,
    "miou": WholeSegmentationEvidence,
    "cuts_dsc": DataEvidence,
    "dsc": StructureEvidence,
    "vs": StructureEvidence,
    "msd": StructureEvidence,
    "avg_f1_foreground": PictureEvidence,
    "avg_f1_present": PictureEvidence,
    "avg_f1": ParsingEvidence,
    "f1": PictureEvidence,
    "avg_precision": PictureEvidence,
    "avg_recall": PictureEvidence,
    "mean_accuracy": AttributeEvidence,
    "accuracy": PictureEvidence,
    "box_ap": DetectionEvidence,
    "mask_ap": DetectionEvidence,
    "psnr": EnlargementEvidence,
    "ssim": EnlargementEvidence,
    "hit@10": RankingEvidence,
    "ndcg@10": RankingEvidence,
}
"""The class by a part of the row's name, the first that fits; the rest of the name is the data set."""


def kind_of(row: str) -> type[RowEvidence] | None:
    """Return the class of a row's evidence; None if it has none."""
    words = f"_{row}_"
    return ROWS.get(row) or next((kind for part, kind in SCORES.items() if f"_{part}_" in words), None)


def read(row: Measurement) -> Any:
    """Return the evidence of a measured row; None if it cannot be read, or if the row has none."""
    kind = kind_of(row.metric)
    try:
        return None if kind is None else kind.model_validate(row.detail)
    except ValidationError:
        return None


class _View(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class NamedGolden(_View):
    """A golden by its file, with the tolerance and the reason that it states itself."""

    file: str
    tolerance: float | None = None
    float32_inside: str | None = None


class ReadableDetail(_View):
    """The fields of any row's detail that must be valid for the store to read its record."""

    batch: int | None = None
    classes: int | None = None
    noisy_reasons: list[Any] = []
    goldens: list[NamedGolden] = []


class Shown(ReadableDetail):
    """The fields of any row's detail that reports read; None for an absent one."""

    images: int | None = None
    correct: int | None = None
    partial: bool | None = None
    note: str | None = None
    passed: bool | None = None
    right: str | None = None
    pictures_sha256: str | None = None
    sample_shape: list[int] | None = None
    trained_on: str | None = None
    second_opinion: SecondOpinion | None = None
    machine: MachineReport | None = None


def is_readable(detail: dict[str, Any]) -> bool:
    """Whether a detail is valid as :class:`ReadableDetail`."""
    try:
        ReadableDetail.model_validate(detail)
    except ValidationError:
        return False
    return True


def shown(row: Measurement) -> Shown:
    """Return the fields that reports read in a row; invalid fields of an edited record are left out."""
    try:
        return Shown.model_validate(row.detail)
    except ValidationError as error:
        wrong = {fault["loc"][0] for fault in error.errors(include_url=False, include_input=False)}
        return Shown.model_validate({name: value for name, value in row.detail.items() if name not in wrong})
