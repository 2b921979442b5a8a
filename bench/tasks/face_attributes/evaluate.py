"""The accuracies of a model of face attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import RESAMPLES
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.normalisation import Normalisation, normalisation_of
from claimbench.bench.data.pictures.picture_reader import rgb
from claimbench.bench.data.pictures.resized import resized
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import look, spread
from claimbench.bench.store.evidence.of_scores import AttributeEvidence, PictureEvidence, WholeEvidence
from claimbench.bench.tasks.face_attributes import BALANCED, EACH, EACH_BALANCED, MEAN
from claimbench.bench.tasks.face_attributes.catalogue import ATTRIBUTES, DATASETS
from claimbench.bench.tasks.face_attributes.check import complete
from claimbench.bench.tasks.face_attributes.data import find
from claimbench.bench.tasks.face_attributes.score import accuracies, interval

QUICK_PICTURES = 50
BATCH = 16
PROTOCOL = "each picture resized to the model's input; a score above 0 says that the face has the attribute"


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on the test part of a data set; quick runs take 50 pictures of it.

    Options of the job: ``dataset``, ``data`` (its folder), ``partial``, ``limit``, ``batch``; ``input`` (the paper's
    preprocessing); ``predictions``, the common name of the files that keep each picture's attributes.

    Raises:
        UnavailableError: there is no data set, or the weights are random.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = DATASETS[job.options.dataset]
    if not job.options.data:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones score at chance")
    place = job.options.data
    faces = complete(dataset, find(dataset, place), place, partial=job.options.partial)
    limit = job.options.limit or (QUICK_PICTURES if job.settings.quick else None)
    chosen = faces.chosen(list(spread(len(faces.names), limit)))
    normalisation = normalisation_of(job.options.input)
    evidence = PictureEvidence(
        dataset=dataset.name,
        images=len(chosen.names),
        classes=len(ATTRIBUTES),
        pictures_sha256=chosen.digest(),
        note="; ".join(faces.notes) or None,
        partial=bool(dataset.pictures) and len(faces.names) != dataset.pictures,
    )
    whole = WholeEvidence(
        images_in_set=len(faces.names),
        preprocessing=vars(normalisation),
        protocol=f"{dataset.source}; {PROTOCOL}" if dataset.source else PROTOCOL,
        **weights_of(job),
    )
    told = {**evidence.to_detail(), **whole.to_detail()}
    size = job.options.batch or BATCH
    pairs = list(zip(chosen.names, chosen.files, strict=True))
    groups = (dict(pairs[first : first + size]) for first in range(0, len(pairs), size))
    found, kept = look(
        subject, job, told, groups, lambda groups: (_see(subject, normalisation, group) for group in groups)
    )
    said = np.array([[mark == "1" for mark in each] for each in found], bool)
    plain, balanced = (100 * each for each in accuracies(said, chosen.labels))
    ends = interval(said, chosen.labels) or (None, None)
    low, high = (None if end is None else 100 * end for end in ends)
    named = (dict(zip(ATTRIBUTES, each.tolist(), strict=True)) for each in (plain, balanced))
    detail = evidence.to_detail() | whole.to_detail() | kept
    mean = AttributeEvidence(
        **detail,
        interval=f"percentiles of {RESAMPLES} resamplings of the pictures",
        accuracy=next(named),
        balanced_accuracy=next(named),
    )
    what, shared = f"{len(chosen.names):,} faces", evidence.to_detail()
    rows = [
        Measurement(dataset.fill(MEAN), float(plain.mean()), "%", what, low=low, high=high, detail=mean.to_detail()),
        Measurement(dataset.fill(BALANCED), float(balanced.mean()), "%", what, detail=shared),
    ]
    for start, values in ((EACH, plain), (EACH_BALANCED, balanced)):
        for attribute, value in zip(ATTRIBUTES, values, strict=True):
            rows.append(Measurement(dataset.fill(start + attribute.lower()), float(value), "%", what, detail=shared))
    return rows


def _see(subject: Subject, normalisation: Normalisation, files: Sequence[Path]) -> Iterator[str]:
    """Yield the attributes of each face, JSON-ready: a 0 or 1 each."""
    batch = torch.stack([resized(rgb(file), subject.sample_shape[1:], normalisation) for file in files])
    with torch.inference_mode():
        scores = _scores(subject.model(subject.place(batch)), len(files)).float().cpu()
    yield from ("".join(str(int(score > 0)) for score in each) for each in scores)


def _scores(output: Any, faces: int) -> Tensor:
    """Return the scores (N, 40) among a model's outputs: the first."""
    scores = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != faces:
        raise UnavailableError("this model gives no score for each face and attribute")
    if scores.shape[1] != len(ATTRIBUTES):
        raise UserError(f"the data set has {len(ATTRIBUTES)} attributes and the model {scores.shape[1]}")
    return scores
