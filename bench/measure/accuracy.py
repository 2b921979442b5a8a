"""Accuracy: the scores of a model at its task, on real data."""

from __future__ import annotations

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Score a model as its task does; see :meth:`claimbench.bench.core.task.Task.evaluate` for its errors."""
    return subject.task.evaluate(subject, job)
