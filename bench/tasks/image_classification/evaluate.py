"""Accuracy: a model with its official weights on the real data set, through the paper's own preprocessing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from claimbench.bench.core.bits import packed
from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.listing import expected_classes
from claimbench.bench.data.pictures.manifest import check_classes
from claimbench.bench.machine.group import Alone, Group, joined
from claimbench.bench.measure.scoring import launch
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.journal import TOP, Journal, Predictions
from claimbench.bench.measure.scoring.lines import whole_file
from claimbench.bench.measure.scoring.look import circumstances, kept_in, spread
from claimbench.bench.store.evidence import FirstHitsEvidence, HitsEvidence, LabelledEvidence, PictureEvidence
from claimbench.bench.tasks.image_classification import TASK
from claimbench.bench.tasks.image_classification.catalogue import DATASETS, DEFAULT
from claimbench.bench.tasks.image_classification.data import find
from claimbench.bench.tasks.image_classification.preprocessing import preprocessing_of
from claimbench.bench.tasks.image_classification.ranking import logits_of
from claimbench.bench.tasks.image_classification.score import corruption_rows, hits, per_class, score
from claimbench.bench.tasks.image_classification.sweep import BATCH_CPU, BATCH_GPU, Task, evaluate, restricted
from claimbench.bench.tasks.subject import load_subject

QUICK_IMAGES = 1000


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on a data set; quick runs take 1,000 pictures of it.

    Options of the job: ``dataset`` (a name of the catalogue) and ``data`` (its place); ``input`` (the paper's
    preprocessing); ``partial``, ``limit``, ``batch``, ``workers``; ``devices`` (one process each); ``predictions`` (the
    common name of the files that hold each picture's prediction, by which an interrupted evaluation goes on); ``group``
    (the name of the group to join, if torchrun started this process).

    Raises:
        UnavailableError: there is no data set, the weights are random, or this model has no scores for classes.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = _dataset(job)
    if subject.mode == "cudagraph":
        raise UnavailableError("accuracy is measured in eager or compile mode only")
    classes = count_classes(subject)
    pictures = _pictures(job, dataset)
    check_classes(dataset, pictures, classes, job.subject)
    with ExitStack() as stack:
        base = job.options.predictions or str(Path(stack.enter_context(tempfile.TemporaryDirectory()), "all"))
        task = task_of(subject, job, dataset, pictures, Path(base))
        devices = job.options.devices
        if job.options.group:
            group = stack.enter_context(joined(job.options.group))
            try:
                found = evaluate(subject, task, group)
            except (UserError, UnavailableError):
                if group.rank == 0:
                    raise
            if group.rank > 0:
                return [
                    Measurement.missing(row, unit, "the first process has it")
                    for row, unit in TASK.expected(dataset.name)
                ]
        elif len(devices) > 1:
            subject.model.to("meta")  # each process has a model of its own
            launch.spread_out(job, base, share)
            found = Journal(task.base, task.what).load(len(pictures))
        else:
            found = evaluate(subject, task, Alone())
        return _rows(job, dataset, task, found)


def share(job: Job, base: str, group: Group) -> None:
    """Do one process's share of an evaluation whose data and model were checked before.

    Raises:
        UserError, UnavailableError: from any of the processes.
    """
    problem: Exception | None = None
    try:
        subject = load_subject(job)
        dataset = _dataset(job)
        task = task_of(subject, job, dataset, _pictures(job, dataset), Path(base))
    except (UserError, UnavailableError) as error:
        problem = error
    for raised in filter(None, group.gather(problem)):
        raise raised
    evaluate(subject, task, group)


def _pictures(job: Job, dataset: PictureSet) -> Pictures:
    return find(dataset, job.options.data or "", partial=job.options.partial)


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


def task_of(subject: Subject, job: Job, dataset: PictureSet, pictures: Pictures, base: Path) -> Task:
    """Return the evaluation that a job asks for."""
    on_gpu = subject.device.type == "cuda"
    limit = job.options.limit or (QUICK_IMAGES if job.settings.quick else None)
    preprocessing = preprocessing_of(subject.sample_shape, job.options.input, subject.config, dataset)
    batch = job.options.batch or (BATCH_GPU if on_gpu else BATCH_CPU)
    workers = job.options.workers
    allowed = sorted(expected_classes(dataset).values()) if dataset.subset else None
    chosen = spread(len(pictures), limit)
    return Task(
        pictures=pictures,
        chosen=chosen,
        preprocessing=preprocessing,
        precision=job.settings.precision,
        batch=batch,
        workers=workers if workers is not None else (min(8, os.cpu_count() or 1) if on_gpu else 0),
        allowed=allowed,
        base=base,
        what={
            "dataset": dataset.name,
            "pictures": pictures.digest(),
            "chosen": len(chosen),
            "preprocessing": preprocessing,
            **circumstances(subject, job),
        },
    )


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


def _rows(job: Job, dataset: PictureSet, task: Task, found: Predictions) -> list[Measurement]:
    ranked = restricted(found, task.chosen)
    pictures = task.pictures
    labels = [pictures.labels[index] for index in task.chosen]
    names = [pictures.names[index] for index in task.chosen]
    classes = dataset.classes or len(pictures.classes)
    kept = bool(job.options.predictions)
    shared = PictureEvidence(
        dataset=dataset.name,
        images=len(labels),
        classes=len(task.allowed) if task.allowed else classes,
        pictures_sha256=_pictures_digest(names, labels),
        partial=_is_partial(pictures),
        note=_partial(dataset, pictures) if _is_partial(pictures) else None,
    )
    whole = LabelledEvidence(
        data=Path(job.options.data or "").name,
        images_in_set=len(pictures),
        preprocessing=dict(task.preprocessing),
        near_ties_settled=int(found.settled[list(task.chosen)].sum()),
        protocol=dataset.source or None,
        **weights_of(job),
        **(kept_in(whole_file(task.base)) if kept else {}),
        top=TOP if kept else None,
    )
    if dataset.layout == "corruptions":
        return corruption_rows(dataset, ranked, names, labels, shared, whole)
    what = _what(task, pictures)
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


def _what(task: Task, pictures: Pictures) -> str:
    if len(task.chosen) < len(pictures):
        return f"{len(task.chosen):,} images spread evenly over {len(pictures):,}"
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
