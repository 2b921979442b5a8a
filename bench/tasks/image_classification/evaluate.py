"""Accuracy: a model with its official weights on the real data set, through the paper's own preprocessing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from claimbench.bench.core.bits import packed
from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.listing import expected_classes
from claimbench.bench.data.pictures.manifest import check_classes
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import LineFormat, look, spread
from claimbench.bench.store.evidence.of_scores import FirstHitsEvidence, HitsEvidence, LabelledEvidence, PictureEvidence
from claimbench.bench.tasks.image_classification import TASK
from claimbench.bench.tasks.image_classification.catalogue import DATASETS, DEFAULT
from claimbench.bench.tasks.image_classification.data import find
from claimbench.bench.tasks.image_classification.preprocessing import PreprocessedPictures, preprocessing_of
from claimbench.bench.tasks.image_classification.ranking import TOP, Ranker, logits_of
from claimbench.bench.tasks.image_classification.score import corruption_rows, hits, per_class, score
from claimbench.bench.tasks.subject import load_subject

QUICK_IMAGES = 1000
BATCH_CPU = 16
BATCH_GPU = 128
NONE = -1
"""Stands for a rank that a model of fewer classes does not have."""

Finding = tuple[list[int], bool]
"""The ranked classes of a picture, up to :data:`~claimbench.bench.tasks.image_classification.ranking.TOP`, and whether
they were near ties."""


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on a data set; quick runs take 1,000 pictures of it.

    Options of the job: ``dataset`` (a name of the catalogue) and ``data`` (its place); ``input`` (the paper's
    preprocessing); ``partial``, ``limit``, ``batch``, ``workers``; ``predictions`` (the common name of the files that
    hold each picture's prediction, by which an interrupted evaluation goes on); ``group`` (the name of the group of
    processes to join, if there are others).

    Raises:
        UnavailableError: there is no data set, the weights are random, or this model has no scores for classes.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = _dataset(job)
    if subject.mode == "cudagraph":
        raise UnavailableError("accuracy is measured in eager or compile mode only")
    pictures = find(dataset, job.options.data or "", partial=job.options.partial)
    check_classes(dataset, pictures, count_classes(subject), job.subject)
    limit = job.options.limit or (QUICK_IMAGES if job.settings.quick else None)
    evaluation = PictureEvaluation(
        dataset=dataset,
        pictures=pictures,
        chosen=spread(len(pictures), limit),
        preprocessing=preprocessing_of(subject.sample_shape, job.options.input, subject.config, dataset),
        allowed=sorted(expected_classes(dataset).values()) if dataset.subset else None,
    )
    found, kept = evaluation.run(subject, job)
    return _rows(job, evaluation, found, kept)


@dataclass(frozen=True)
class PictureEvaluation:
    """Pictures and the way in which a model sees them.

    Attributes:
        dataset: whose pictures they are.
        pictures: in the order in which batches are cut.
        chosen: the positions of the pictures that count, ascending.
        preprocessing: timm's transform arguments.
        allowed: the classes that take part; None for all.
    """

    dataset: PictureSet
    pictures: Pictures
    chosen: Sequence[int]
    preprocessing: Mapping[str, Any]
    allowed: list[int] | None

    def run(self, subject: Subject, job: Job) -> tuple[list[Finding], dict[str, Any]]:
        """Return the finding of each chosen picture, and the file that keeps them; see ``look`` for its errors.

        Batches are cut once, from all chosen pictures; nothing is padded, so nothing counts twice.
        """
        what = {
            "dataset": self.dataset.name,
            "pictures": self.pictures.digest(),
            "preprocessing": self.preprocessing,
        }
        batch = job.options.batch or (BATCH_GPU if subject.device.type == "cuda" else BATCH_CPU)
        batches = (self.chosen[start : start + batch] for start in range(0, len(self.chosen), batch))
        groups = ({index: index for index in cut} for cut in batches)
        form = LineFormat(self._line, _finding)
        return look(subject, job, what, groups, lambda cut: self._see(subject, job, cut), form)

    def _see(self, subject: Subject, job: Job, batches: Sequence[list[int]]) -> Iterator[Iterable[Finding]]:
        """Yield the findings of each batch of positions.

        Raises:
            UserError: a picture can no longer be read, or a score is not a number.
            UnavailableError: the model gives no scores for classes.
        """
        on_gpu, workers = subject.device.type == "cuda", job.options.workers
        if workers is None:
            workers = min(8, os.cpu_count() or 1) if on_gpu else 0
        ranker = Ranker(subject, job.settings.precision, self.allowed)
        loader = DataLoader(
            PreprocessedPictures(self.pictures, self.preprocessing),
            batch_sampler=batches,
            num_workers=min(workers, len(batches)),
            pin_memory=on_gpu,
        )
        try:
            for samples, _ in loader:
                yield zip(*ranker(samples), strict=True)
        except UserError as error:
            raise UserError(_sentence(error)) from error

    def _line(self, key: Any, finding: Finding) -> dict[str, Any]:
        """Return a finding as it is kept on the disk."""
        labels, (top, settled) = self.pictures.labels[key], finding
        line = {
            "i": key,
            "file": self.pictures.names[key].encode("utf-8", "backslashreplace").decode(),
            "label": labels[0] if len(labels) == 1 else labels,
            "top": top,
        }
        return line | ({"settled": True} if settled else {})


def _finding(line: Mapping[str, Any]) -> tuple[int, Finding]:
    """Return a picture's position and its finding from its line."""
    top = [int(number) for number in line["top"]]
    if not 0 < len(top) <= TOP:
        raise ValueError(f"{len(top)} ranks")
    return line["i"], (top, bool(line.get("settled")))


def _sentence(error: Exception) -> str:
    """Return an error's sentence; a process that reads pictures wraps it in a traceback of its own."""
    last = (str(error).strip().splitlines() or [""])[-1]
    return last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")


def _dataset(job: Job) -> PictureSet:
    """Return the data set that a job is about, if it can be evaluated at all."""
    name = job.options.dataset or DEFAULT
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    dataset = DATASETS[name]
    if not job.options.data and not dataset.has_package:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs official weights: random ones score at chance")
    return dataset


def classes_of(job: Job) -> int:
    """Return the number of classes that a job's model tells apart; see :func:`count_classes`."""
    return count_classes(load_subject(job))


def count_classes(subject: Subject) -> int:
    """Return the number of classes that a model tells apart, from the output of one run.

    Raises:
        UnavailableError: it gives no scores for classes.
    """
    preprocessing_of(subject.sample_shape, {}, None)
    with torch.inference_mode():
        return int(logits_of(subject.forward()(subject.make_inputs(1, 1)[0])).shape[1])


def _rows(job: Job, evaluation: PictureEvaluation, found: Sequence[Finding], kept: dict[str, Any]) -> list[Measurement]:
    dataset, pictures = evaluation.dataset, evaluation.pictures
    ranked = np.array([[*top, *[NONE] * (TOP - len(top))] for top, _ in found], dtype=np.int32)
    labels = [pictures.labels[index] for index in evaluation.chosen]
    names = [pictures.names[index] for index in evaluation.chosen]
    classes = dataset.classes or len(pictures.classes)
    shared = PictureEvidence(
        dataset=dataset.name,
        images=len(labels),
        classes=len(evaluation.allowed) if evaluation.allowed else classes,
        pictures_sha256=_pictures_digest(names, labels),
        partial=_is_partial(pictures),
        note=_partial(dataset, pictures) if _is_partial(pictures) else None,
    )
    whole = LabelledEvidence(
        data=Path(job.options.data or "").name,
        images_in_set=len(pictures),
        preprocessing=dict(evaluation.preprocessing),
        near_ties_settled=sum(settled for _, settled in found),
        protocol=dataset.source or None,
        **weights_of(job),
        **kept,
        top=TOP if kept else None,
    )
    if dataset.layout == "corruptions":
        return corruption_rows(dataset, ranked, names, labels, shared, whole)
    what = _what(evaluation)
    expected = TASK.expected(dataset.name)
    return [_top(row, unit, ranked, labels, what, shared, whole, classes) for row, unit in expected]


def _top(
    row: str,
    unit: str,
    ranked: Any,
    labels: list[tuple[int, ...]],
    what: str,
    shared: PictureEvidence,
    whole: LabelledEvidence,
    classes: int,
) -> Measurement:
    """Return one score; the first carries the evidence that both rest on."""
    top = int(row.rpartition("top")[2])
    if shared.classes is not None and shared.classes < top:
        return Measurement.missing(row, unit, f"the model has only {shared.classes} classes")
    right = hits(ranked, labels, top)
    evidence = HitsEvidence(**shared.to_detail(), correct=int(right.sum()))
    if top == 1:
        each = per_class(right, labels, classes)
        evidence = FirstHitsEvidence(**evidence.to_detail(), **whole.to_detail(), right=packed(right), per_class=each)
    return score(row, unit, what, evidence)


def _what(evaluation: PictureEvaluation) -> str:
    chosen, pictures = len(evaluation.chosen), evaluation.pictures
    if chosen < len(pictures):
        return f"{chosen:,} images spread evenly over {len(pictures):,}"
    if _is_partial(pictures):
        return f"the {len(pictures):,} images that are there"
    return "all images"


def _is_partial(pictures: Pictures) -> bool:
    return bool(pictures.left_out) or (pictures.expected is not None and len(pictures) < pictures.expected)


def _partial(dataset: PictureSet, pictures: Pictures) -> str:
    """Return the share of the data set that was present, as a phrase."""
    whole = f" of {pictures.expected:,}" if pictures.expected else ""
    left = f", {pictures.left_out:,} more left out" if pictures.left_out else ""
    return f"partial data: {len(pictures):,}{whole} images of {dataset.title}{left}"


def _pictures_digest(names: list[str], labels: list[tuple[int, ...]]) -> str:
    """Return a digest of the pictures that were looked at: two models with the same one can be compared in pairs."""
    body = "\n".join(f"{name}\0{label}" for name, label in zip(names, labels, strict=True))
    return hashlib.sha256(body.encode(errors="surrogateescape")).hexdigest()
