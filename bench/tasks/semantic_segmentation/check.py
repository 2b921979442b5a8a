"""Checks before any measurement: every picture and mask of the data sets that jobs name."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.tasks.classes import count
from claimbench.bench.tasks.semantic_segmentation.catalogue import VOID
from claimbench.bench.tasks.semantic_segmentation.data import checked
from claimbench.bench.tasks.semantic_segmentation.evaluate import dataset_of


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check each data set once; if it does not state its number of classes, the models that are scored on it do.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
    """
    places: dict[tuple[str, str, bool], list[Job]] = {}
    for job in jobs:
        place = (dataset_of(job).name, job.options.data or "", job.options.partial)
        places.setdefault(place, []).append(job)
    for (_, data, partial), own in places.items():
        dataset = dataset_of(own[0])
        with listener.begin(f"checking {dataset.title}") as part:
            classes = len(dataset.classes) or min(map(_classes, own))
            checked(dataset, data, classes, partial=partial, listener=part)
    return []


def _classes(job: Job) -> int:
    """Return the number of classes of a model; the largest possible one if its row will say why it cannot be scored."""
    try:
        return count(job)
    except UnavailableError:
        return VOID
