"""The evidence in :attr:`~claimbench.bench.core.records.Measurement.detail`: a class for each kind of row.

A metric fills a class and stores :meth:`RowEvidence.to_detail`. The rules on submissions take it back by :func:`read`;
reports see the fields of :class:`Shown` in every row. No key of a detail is spelled elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from claimbench.bench.core.records import Measurement
from claimbench.bench.machine.load import MachineReport

Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Stop = Literal["interval", "budget"]
Share = Annotated[float, Field(ge=0, le=100)]


class RowEvidence(BaseModel):
    """The content of a detail; unknown keys are kept unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def to_detail(self) -> dict[str, Any]:
        """Return the detail, JSON-ready, without the fields that hold their default."""
        return self.model_dump()

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name not in fields or fields[name].is_required() or getattr(self, name) != fields[name].default
        }


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


class WeightsEvidence(RowEvidence):
    """The weights of a scored model: their label or file, and a digest of the file or of the user's model."""

    weights: str | None = None
    weights_sha256: str | None = None
    model_sha256: str | None = None


class Kept(RowEvidence):
    """The file that keeps the predictions for each picture."""

    predictions_file: str | None = None
    predictions_sha256: str | None = None


class DataEvidence(RowEvidence):
    """Evidence of every score on its data set; ``partial`` if only a part of it was scored."""

    dataset: str | None = None
    note: str | None = None
    partial: bool = False


class PictureEvidence(DataEvidence):
    """Evidence of every score on pictures; two models with the same digest saw the same pictures."""

    images: Some
    classes: Some | None = None
    pictures_sha256: str | None = None


class WholeEvidence(WeightsEvidence, Kept):
    """Evidence that the first score on a set of pictures holds for all scores on it.

    Records of the first versions call ``images_in_set`` ``images_in_folder``.
    """

    images_in_set: Annotated[int, Field(ge=1, validation_alias=AliasChoices("images_in_set", "images_in_folder"))]
    preprocessing: dict[str, Any] | None = None
    protocol: str | None = None


class HitsEvidence(PictureEvidence):
    """Evidence of ``top5`` of every data set: the number of correct pictures."""

    correct: Count


class ClassHits(RowEvidence):
    """The numbers of pictures and of correct ones, by class."""

    images: list[Count]
    correct: list[Count]


class LabelledEvidence(WholeEvidence):
    """Evidence that the first score of a classifier holds for all of its scores.

    Attributes:
        data: the name of the file or folder.
        near_ties_settled: the number of pictures that were scored again in float64, because their first classes were
            nearly tied.
        top: the number of classes that the predictions file ranks.
    """

    data: str | None = None
    near_ties_settled: Count | None = None
    top: Some | None = None


class FirstHitsEvidence(HitsEvidence, LabelledEvidence):
    """Evidence of ``top1`` of every data set.

    Attributes:
        right: a bit for each picture, set if it is correct; see :func:`claimbench.bench.core.bits.packed`.
        labels, predictions: in place of ``right`` in records of the first version.
    """

    classes: Annotated[int, Field(ge=2)]
    right: str | None = None
    per_class: ClassHits | None = None
    labels: list[Count] | None = None
    predictions: list[Count] | None = None


class CorruptionAccuracyEvidence(HitsEvidence, LabelledEvidence):
    """Evidence of ``imagenet_c_top1``: per cent for each corruption and severity."""

    accuracy: dict[str, Share]


class CorruptionErrorEvidence(PictureEvidence):
    """Evidence of ``imagenet_c_mce``: the errors relative to AlexNet's, in per cent."""

    corruption_errors: dict[str, NotNegative]


class SegmentationEvidence(PictureEvidence):
    """Evidence of ``pixel_accuracy``, and of ``miou`` along boundaries."""

    sample_shape: list[int] | None = None


class WholeSegmentationEvidence(SegmentationEvidence, WholeEvidence):
    """Evidence of ``miou``, also with a CRF or over several sizes: per cent by class and by the band's width in pixels.

    The value of a class is None if no picture shows it.
    """

    interval: str
    per_class: dict[str, Share | None]
    by_band_px: dict[str, float | None]


class ParsingEvidence(PictureEvidence, WholeEvidence):
    """Evidence of ``avg_f1`` of human parsing: the F1 of each label in per cent, by its name."""

    interval: str | None = None
    per_label: dict[str, Share]


class AttributeEvidence(PictureEvidence, WholeEvidence):
    """Evidence of ``mean_accuracy`` of face attributes: per cent of each attribute, by its name."""

    interval: str | None = None
    accuracy: dict[str, Share]
    balanced_accuracy: dict[str, Share]


class WholeDetection(PictureEvidence, WholeEvidence):
    """Evidence of both scores of a detector."""

    annotations_sha256: str
    sample_shape: list[int]


class DetectionEvidence(WholeDetection):
    """Evidence of ``box_ap`` and ``mask_ap``: per cent by overlap, object size and class; None without an object."""

    interval: str | None = None
    ap50: Share | None
    ap75: Share | None
    small: Share | None
    medium: Share | None
    large: Share | None
    per_class: dict[str, Share]


class StructureEvidence(PictureEvidence, WeightsEvidence, Kept):
    """Evidence of ``dsc``, ``vs`` and ``msd``: the deviation between scans, and what the first score holds for all.

    Attributes:
        unit: the name of a scan: a subject, or a slab of one.
        absent: structures of scans that are neither there nor predicted. ``missed``: those that are only one of both.
        spread: the standard deviation over scans.
        per_structure: the mean of each measure, by structure; ``per_scan``: the measures, by scan and structure.
    """

    unit: str
    absent: Count = 0
    missed: Count = 0
    spread: NotNegative | None = None
    protocol: dict[str, str] = {}
    per_structure: dict[str, dict[str, float | None]] = {}
    per_scan: dict[str, dict[str, dict[str, float | None]]] = {}


class EnlargementEvidence(DataEvidence):
    """Evidence of ``psnr`` and ``ssim``; the deviation is between pictures, None for a single one."""

    scale: Some
    pictures: Annotated[list[str], Field(min_length=1)]
    pictures_sha256: str
    small_pictures: str
    protocol: str
    standard_deviation: NotNegative | None = None


class TokenizationEvidence(DataEvidence, WeightsEvidence, Kept):
    """Evidence of the scores of a tokenizer; the deviation is between examples, None for a single one.

    ``covariance_share`` is the part of the Fréchet distance that its covariance term makes, from 0 to 1.
    """

    examples: Some
    protocol: str
    features: str | None = None
    rate: str | None = None
    covariance_share: Annotated[float, Field(ge=0, le=1)] | None = None
    perplexity: NotNegative | None = None
    standard_deviation: NotNegative | None = None


class SeedEvidence(RowEvidence):
    """The result of one training of a recommender."""

    seed: int
    sampled: dict[str, float]
    sampled_all_users: dict[str, float]
    full: dict[str, float]
    epochs: Count
    best_epoch: Count
    validation: list[Any]
    seconds: NotNegative
    seconds_an_epoch: NotNegative
    seconds_drawing: NotNegative
    steps_an_epoch: Count
    threads: Some
    commit: str


class RankingEvidence(DataEvidence):
    """Evidence of ``hit@10`` and ``ndcg@10``: of given weights, or of trainings, with the result of each seed."""

    users: Some
    data_sha256: str
    protocol: str
    weights_sha256: str | None = None
    recipe: dict[str, Any] | None = None
    selection: str | None = None
    interval: str | None = None
    seeds: list[SeedEvidence] | None = None


class ProbeArm(RowEvidence):
    """One head over its seeds; ``right`` are bits of correct pictures (:func:`claimbench.bench.core.bits.encode`)."""

    accuracies: list[Share]
    validation: list[float]
    rates: list[float]
    right: list[str]


class GainEvidence(DataEvidence):
    """Evidence of ``probe_gain``."""

    verdict: str
    sample_shape: list[int] | None = None
    trained_on: str | None = None


class ProbeEvidence(DataEvidence, Kept):
    """Evidence of ``probe_top1``; ``pictures`` are numbers by part, ``sample_shape`` is of an encoder's tokens."""

    encoder: str
    encoder_sha256: str
    sample_shape: list[int] | None = None
    trained_on: str | None = None
    pictures: dict[str, Some]
    epochs: Some
    batch: Some
    head: ProbeArm
    linear: ProbeArm


class Epoch(RowEvidence):
    """One epoch of a small training; the accuracy on its validation pictures is in per cent."""

    loss: float
    validation: float
    seconds: NotNegative


class StudyEvidence(RowEvidence):
    """Evidence of ``study_accuracy``; ``right`` are bits of correct pictures, see
    :func:`claimbench.bench.core.bits.encode`.
    """

    right: str
    pictures: Some
    training_pictures: Count | None = None
    history: list[Epoch] = []
    weights: str | None = None


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
