"""The scores of a detector: average precision of its boxes, and of its masks if it gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import RESAMPLES
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import look, spread
from claimbench.bench.papers.openmmlab.found import Found
from claimbench.bench.store.evidence.of_scores import DetectionEvidence, WholeDetection
from claimbench.bench.tasks.object_detection import TASK
from claimbench.bench.tasks.object_detection.catalogue import CLASSES, COCO, PICTURES
from claimbench.bench.tasks.object_detection.check import how_many
from claimbench.bench.tasks.object_detection.data import GroundTruth, Picture, find, pixels
from claimbench.bench.tasks.object_detection.score import Kind, Results, as_results, average_precision

QUICK_PICTURES = 50
KINDS: tuple[Kind, ...] = ("bbox", "segm")
"""The kinds of the scores, in their order."""


@dataclass(frozen=True)
class Detector:
    """A model that can be scored.

    Attributes:
        detect: from a picture (H, W, 3) in RGB to the objects in it; the method of that name.
        masks: whether it gives masks besides boxes; the attribute of that name.
        preprocessing: the steps that ``detect`` applies to a picture, for the evidence; the attribute of that name.
        tested_shape: (3, height, width) into which it resizes pictures, or nothing; the attribute of that name.
    """

    detect: Callable[[np.ndarray], Found]
    masks: bool
    preprocessing: dict[str, Any] = field(default_factory=dict)
    tested_shape: tuple[int, ...] = ()


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Look for objects in every picture of COCO and return box AP and mask AP; quick runs take 50 pictures.

    Options of the job: ``data`` (the folder), ``partial``, ``limit``, and ``predictions``, the common name of the files
    that keep the detections.

    Raises:
        UnavailableError: there are no data, the weights are random, or the model cannot be scored as the job says.
        UserError: the data are not as expected.
    """
    if not job.options.data:
        raise UnavailableError(f"needs the data set {COCO.title}: give {COCO.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones find nothing")
    detector = _detector(subject, job)
    truth = find(job.options.data, partial=job.options.partial)
    limit = job.options.limit or (QUICK_PICTURES if job.settings.quick else None)
    chosen = [truth.pictures[index] for index in spread(len(truth.pictures), limit)]
    shared = _shared(job, detector, truth, len(chosen)).to_detail()
    what = {**shared, "pictures": _sizes(chosen)}
    pictures = ({each.number: each} for each in chosen)
    see = partial(_found, detector)
    with torch.inference_mode():
        found, kept = look(subject, job, what, pictures, lambda groups: map(see, groups))
    results = [result for each in found for result in each]
    rows = zip(TASK.expected(COCO.name), KINDS, strict=True)
    return [_row(name, kind, detector, truth, chosen, results, shared | kept) for (name, _), kind in rows]


def _detector(subject: Subject, job: Job) -> Detector:
    """Return the model of a job, which must be one that can be scored as the job says."""
    detect: Callable[[np.ndarray], Found] | None = getattr(subject.model, "detect", None)
    if detect is None:
        raise UnavailableError("this model gives no boxes")
    if subject.mode != "eager" or subject.dtype != torch.float32:
        raise UnavailableError("detectors are scored in fp32 and eager mode only")
    model: Any = subject.model
    known = {name: getattr(model, name) for name in ("preprocessing", "tested_shape") if hasattr(model, name)}
    return Detector(detect, bool(getattr(model, "masks", True)), **known)


def _found(detector: Detector, pictures: Sequence[Picture]) -> list[Results]:
    """Return the detections of each picture."""
    return [as_results(detector.detect(pixels(picture)), picture) for picture in pictures]


def _sizes(pictures: Sequence[Picture]) -> str:
    """Return a digest of the numbers and the files' sizes: the same for the same pictures."""
    return sha256(repr([(each.number, each.file.stat().st_size) for each in pictures]).encode()).hexdigest()


def _shared(job: Job, detector: Detector, truth: GroundTruth, images: int) -> WholeDetection:
    """Return the evidence that both scores share."""
    return WholeDetection(
        dataset=COCO.name,
        images=images,
        images_in_set=len(truth.pictures),
        annotations_sha256=truth.sha256,
        classes=len(CLASSES),
        preprocessing=detector.preprocessing,
        sample_shape=list(detector.tested_shape),
        protocol=COCO.source,
        partial=images < PICTURES,
        note=how_many(truth) if truth.partial else None,
        **weights_of(job),
    )


def _row(
    name: str,
    kind: Kind,
    detector: Detector,
    truth: GroundTruth,
    pictures: Sequence[Picture],
    results: Results,
    shared: dict[str, Any],
) -> Measurement:
    """Return one score, in percent, with its parts."""
    if kind == "segm" and not detector.masks:
        return Measurement.missing(name, "%", "this network gives boxes and no masks")
    if kind == "segm" and not truth.outlined:
        return Measurement.missing(name, "%", "the annotations do not outline every object")
    precision = average_precision(truth, pictures, results, kind)
    if precision.mean is None:
        return Measurement.missing(name, "%", f"no object is annotated in the {len(pictures):,} pictures looked at")
    what = f"{len(pictures):,} of {PICTURES:,} pictures" if len(pictures) < PICTURES else "all pictures"
    parts: dict[str, Any] = {part: None if value is None else 100 * value for part, value in precision.by.items()}
    classes = {category: 100 * value for category, value in precision.per_class.items() if value is not None}
    low, high = [100 * end for end in precision.interval] if precision.interval else (None, None)
    evidence = DetectionEvidence(
        **shared,
        **parts,
        interval=f"percentiles of {RESAMPLES} resamplings of the pictures" if precision.interval else None,
        per_class=classes,
    )
    return Measurement(name, 100 * precision.mean, "%", what, low=low, high=high, detail=evidence.to_detail())
