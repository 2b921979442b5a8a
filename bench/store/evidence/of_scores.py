"""Evidence of scores on data and of small trainings: a class for each kind of row."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field

from claimbench.bench.store.evidence.fields import Count, NotNegative, RowEvidence, Share, Some


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
