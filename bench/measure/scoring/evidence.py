"""Facts about an accuracy job: the presence of data, the training of its model, and the origin of its weights."""

from __future__ import annotations

from pathlib import Path

from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job
from claimbench.bench.store.evidence.of_scores import WeightsEvidence

OWN = "own"
"""The label of the weights that a user's own model comes with."""


def has_data(job: Job) -> bool:
    """Whether a job is about accuracy and there are data for it."""
    return job.metric == "accuracy" and job.options.data is not None


def is_own(job: Job) -> bool:
    """Whether a job is about a user's own model, ``FILE.py:FACTORY``."""
    return job.settings.weights == OWN


def is_trained(job: Job) -> bool:
    """Whether a job's model has learnt anything: a user's own model comes with its weights."""
    return is_own(job) or job.settings.weights != "random" or bool(job.options.weights_file)


def weights_of(job: Job) -> dict[str, str]:
    """Return the origin of a job's weights, for the evidence; a user's own model makes them, so it is its file."""
    path, label = job.options.weights_file, job.settings.weights
    if is_own(job):
        found = WeightsEvidence(weights=label, model_sha256=digest(job.subject.rpartition(":")[0]))
    elif path:
        found = WeightsEvidence(weights=Path(path).name, weights_sha256=digest(path))
    else:
        found = WeightsEvidence(weights=label)
    return found.to_detail()
