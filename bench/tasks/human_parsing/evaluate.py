"""The scores of a human parser, before and after the stage behind its network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import RESAMPLES
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.masked import MaskedPicture, digest, labelled, sizes
from claimbench.bench.data.pictures.normalisation import Normalisation, normalisation_of
from claimbench.bench.data.pictures.resized import resized
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import look, spread
from claimbench.bench.papers import registry
from claimbench.bench.store.evidence.of_scores import ParsingEvidence, PictureEvidence, WholeEvidence
from claimbench.bench.tasks.human_parsing import SMOOTHED, TASK
from claimbench.bench.tasks.human_parsing.catalogue import DATASETS, ParsedSet
from claimbench.bench.tasks.human_parsing.data import find, meaning
from claimbench.bench.tasks.human_parsing.score import Parsing, counts_of, interval, parsing
from claimbench.bench.tasks.subject import load_subject

QUICK_PICTURES = 50
PROTOCOL = "each picture resized to the model's input, its scores back to the picture's size; pixels pooled"

Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a picture (H, W, 3) in RGB and label probabilities (K, H, W) to better probabilities."""


@dataclass(frozen=True)
class Parser:
    """A network and the stage behind it.

    Attributes:
        subject: the network.
        normalisation: of the pictures.
        labels: K, the number of labels.
        refine: the stage; None if the paper has none.
    """

    subject: Subject
    normalisation: Normalisation
    labels: int
    refine: Refine | None = None

    def see(self, dataset: ParsedSet, pairs: Sequence[MaskedPicture]) -> Iterator[dict[str, list[list[int]]]]:
        """Yield the counts of each picture, JSON-ready, by the stage: rows of a label and its three counts."""
        for pair in pairs:
            picture, truth = labelled(pair, meaning(self.labels), dataset.title)
            stages = {"": self.probabilities(picture)}
            if self.refine is not None:
                stages[SMOOTHED] = self.refine(picture, stages[""])
            counts = {stage: counts_of(truth, each.argmax(0), self.labels) for stage, each in stages.items()}
            yield {
                stage: [[int(i), *map(int, each[:, i])] for i in np.flatnonzero(each.any(0))]
                for stage, each in counts.items()
            }

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        """Return label probabilities (K, H, W) of a picture (H, W, 3); scores below 0 pass a softmax."""
        x = resized(picture, self.subject.sample_shape[1:], self.normalisation)
        with torch.inference_mode():
            scores = _scores(self.subject.model(self.subject.place(x[None]))).float().cpu()
            whole = F.interpolate(scores, picture.shape[:2], mode="bilinear", align_corners=False)[0]
            return (whole if whole.min() >= 0 else whole.softmax(0)).numpy()


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on a data set; quick runs take 50 pictures of it.

    Options of the job: ``dataset``, ``data`` (its folder), ``partial``, ``limit``; ``input`` (the paper's
    preprocessing); ``predictions``, the common name of the files that keep each picture's counts. The ``model.py`` of
    the job's paper may define ``refine(config)``, the stage behind the network as :data:`Refine`.

    Raises:
        UnavailableError: there is no data set, the weights are random, or the model gives no label scores.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = DATASETS[job.options.dataset]
    if not job.options.data:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones score at chance")
    labels = _labels(subject)
    if dataset.labels and labels != len(dataset.labels):
        raise UserError(f"{dataset.title} has {len(dataset.labels)} labels and the model {labels}")
    people = find(dataset, job.options.data, partial=job.options.partial)
    limit = job.options.limit or (QUICK_PICTURES if job.settings.quick else None)
    chosen = [people.pairs[index] for index in spread(len(people.pairs), limit)]
    own = import_module(f"{registry.module(job.paper)}.model") if job.paper else None
    refine = getattr(own, "refine", None)
    parser = Parser(subject, normalisation_of(job.options.input), labels, refine and refine(job.options.config))
    evidence = PictureEvidence(
        dataset=dataset.name,
        images=len(chosen),
        classes=labels,
        pictures_sha256=digest(chosen),
        note="; ".join(people.notes) or None,
        partial=bool(dataset.pictures) and people.whole != dataset.pictures,
    )
    whole = WholeEvidence(
        images_in_set=len(people.pairs),
        preprocessing=vars(parser.normalisation),
        protocol=f"{dataset.source}; {PROTOCOL}",
        **weights_of(job),
    )
    told = {**evidence.to_detail(), **whole.to_detail(), "files": sizes(chosen)}
    groups = ({pair.name: pair} for pair in chosen)
    found, kept = look(subject, job, told, groups, lambda groups: (parser.see(dataset, group) for group in groups))
    stages = {
        stage: [_table(picture[stage], labels) for picture in found] for stage in ("", SMOOTHED) if stage in found[0]
    }
    scored = Scored(dataset, evidence, whole.to_detail() | kept, f"{len(chosen):,} pictures")
    return scored.rows(stages)


def classes_of(job: Job) -> int:
    """Return the number of labels of a job's model, from the model without its weights, on the CPU.

    Raises:
        UnavailableError: this machine cannot build it, or it gives no score for each label and position.
    """
    from dataclasses import replace

    settings = replace(job.settings, device="cpu", precision="fp32", mode="eager", weights="random")
    return _labels(load_subject(replace(job, settings=settings, options=replace(job.options, weights_file=""))))


def _labels(subject: Subject) -> int:
    with torch.inference_mode():
        return int(_scores(subject.model(subject.place(torch.zeros(1, *subject.sample_shape)))).shape[1])


def _scores(output: Any) -> Tensor:
    """Return the scores (B, K, h, w) among a model's outputs: the first."""
    scores = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(scores, Tensor) or scores.dim() != 4:
        raise UnavailableError("this model gives no score for each label and position")
    return scores


def _table(rows: Sequence[Sequence[int]], labels: int) -> np.ndarray:
    """Return the counts (3, labels) of rows of a label and its three counts."""
    counts = np.zeros((3, labels), np.int64)
    for label, *three in rows:
        counts[:, label] = three
    return counts


@dataclass(frozen=True)
class Scored:
    """Makes rows of counts.

    Attributes:
        dataset: that was scored on.
        evidence: of every row. ``whole``: more of it, for the mean F1.
        what: the pictures, in words.
    """

    dataset: ParsedSet
    evidence: PictureEvidence
    whole: dict[str, Any]
    what: str

    def rows(self, stages: dict[str, list[np.ndarray]]) -> list[Measurement]:
        """Return the rows of all stages; those of a stage that the paper does not have say so."""
        found = []
        for stage in ("", SMOOTHED):
            if stage in stages:
                found += self._stage(stage, stages[stage])
            else:
                names = [name for name in TASK.rows_on(self.dataset) if name.endswith(stage)]
                found += [Measurement.missing(name, "%", "this paper has no stage after the network") for name in names]
        return found

    def _stage(self, stage: str, counts: list[np.ndarray]) -> list[Measurement]:
        total = parsing(np.sum(counts, axis=0))
        ends = interval(counts) or (None, None)
        rows = []
        for name, value in total.rows().items():
            row = self.dataset.fill(f"{{dataset}}_{name}{stage}")
            if isnan(value):
                rows.append(Measurement.missing(row, "%", "no pixel counts in the label maps of these pictures"))
                continue
            low, high = (100 * end if end is not None and name == "avg_f1" else None for end in ends)
            detail = self._mean_detail(total) if name == "avg_f1" else self.evidence.to_detail()
            rows.append(Measurement(row, 100 * value, "%", self.what, low=low, high=high, detail=detail))
        if not stage and self.dataset.labels:
            for label, value in zip(self.dataset.labels, total.f1, strict=True):
                row = self.dataset.fill(f"{{dataset}}_f1_{label}")
                rows.append(Measurement(row, 100 * float(value), "%", self.what, detail=self.evidence.to_detail()))
        return rows

    def _mean_detail(self, total: Parsing) -> dict[str, Any]:
        names = self.dataset.labels or tuple(f"label {i}" for i in range(len(total.f1)))
        evidence = ParsingEvidence(
            **self.evidence.to_detail() | self.whole,
            interval=f"percentiles of {RESAMPLES} resamplings of the pictures",
            per_label={name: 100 * float(value) for name, value in zip(names, total.f1, strict=True)},
        )
        return evidence.to_detail()
