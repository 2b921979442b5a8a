"""The loop: every picture once, shared out between processes, noted as it is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.machine.group import Group
from claimbench.bench.measure.scoring.journal import Journal, Predictions
from claimbench.bench.tasks.image_classification.preprocessing import PreprocessedPictures
from claimbench.bench.tasks.image_classification.ranking import Ranker

BATCH_CPU = 16
BATCH_GPU = 128


@dataclass(frozen=True)
class Task:
    """One evaluation.

    Attributes:
        pictures: in the order in which batches are cut.
        chosen: the positions of the pictures that count, ascending.
        preprocessing: timm's transform arguments.
        precision: of the model.
        batch: pictures a forward pass.
        workers: processes that read pictures, for each process that computes.
        allowed: the classes that take part; None for all.
        base: the common name of the journal's files.
        what: all that the predictions depend on, JSON-ready. Only predictions with an equal value are continued.
    """

    pictures: Pictures
    chosen: Sequence[int]
    preprocessing: Mapping[str, Any]
    precision: str
    batch: int
    workers: int
    allowed: list[int] | None
    base: Path
    what: dict[str, Any]


def evaluate(subject: Subject, task: Task, group: Group) -> Predictions:
    """Return the predictions for all pictures of a task, those of earlier processes included.

    Batches are cut once, from all pictures, and shared out whole: a picture is computed in the same company whoever
    does it. Each process takes every ``size``-th batch that is not done; nothing is padded, so nothing counts twice.

    Raises:
        UserError, UnavailableError: from any of the processes.
    """
    journal = Journal(task.base, task.what, group.rank)
    found = journal.load(len(task.pictures))
    for other in group.gather(found):
        found.merge(other)
    batches = unfinished(task.chosen, task.batch, found)
    problem = _attempt(subject, task, journal, found, batches[group.rank :: group.size])
    answers = group.gather((problem, found))
    for raised, other in answers:
        if raised is not None:
            raise raised
        found.merge(other)
    if group.rank == 0:
        journal.finish(task.pictures, found)
    return found


def unfinished(chosen: Sequence[int], batch: int, found: Predictions) -> list[list[int]]:
    """Return the batches in which a picture has no prediction yet."""
    missing = set(found.missing().tolist())
    batches = [list(chosen[start : start + batch]) for start in range(0, len(chosen), batch)]
    return [cut for cut in batches if not missing.isdisjoint(cut)]


def _attempt(
    subject: Subject, task: Task, journal: Journal, found: Predictions, batches: list[list[int]]
) -> Exception | None:
    """Do some batches; return the error for the user, so that no other process waits for this one in vain."""
    try:
        _do(subject, task, journal, found, batches)
    except (UserError, UnavailableError) as error:
        return type(error)(_sentence(error))
    return None


def _sentence(error: Exception) -> str:
    """Return an error's sentence; a process that reads pictures wraps it in a traceback of its own."""
    last = (str(error).strip().splitlines() or [""])[-1]
    return last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")


def _do(subject: Subject, task: Task, journal: Journal, found: Predictions, batches: list[list[int]]) -> None:
    if not batches:
        return
    _be_deterministic()
    ranker = Ranker(subject, task.precision, task.allowed)
    loader = DataLoader(
        PreprocessedPictures(task.pictures, task.preprocessing),
        batch_sampler=batches,
        num_workers=min(task.workers, len(batches)),
        pin_memory=subject.device.type == "cuda",
    )
    try:
        for samples, positions in loader:
            indices = positions.tolist()
            tops, settled = ranker(samples)
            for index, top, was_near in zip(indices, tops, settled, strict=True):
                found.put(index, top, was_near)
            journal.add(task.pictures, indices, tops, settled)
    finally:
        journal.flush()


def _be_deterministic() -> None:
    """Make a GPU choose the same algorithms each time; operators that have no such form go on as they are."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def restricted(found: Predictions, chosen: Sequence[int]) -> np.ndarray:
    """Return the ranks (n, 5) of the chosen pictures.

    Raises:
        RuntimeError: one of them has none, which would be a mistake of ours.
    """
    ranked = found.ranked[np.asarray(chosen, dtype=np.int64)]
    if len(ranked) and int(ranked[:, 0].min()) < 0:
        raise RuntimeError("a picture was not evaluated")
    return ranked
