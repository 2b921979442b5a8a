"""Checks before any measurement: every volume and its labels of the data sets that jobs name."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.tasks.classes import count
from claimbench.bench.tasks.medical_segmentation.data import find
from claimbench.bench.tasks.medical_segmentation.evaluate import dataset_of

MOST = 256
"""The number of classes that labels may have if no model says how many there are."""


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Read each data set once; if it does not name its structures, the models that are scored on it say how many.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
    """
    places: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        places.setdefault((dataset_of(job).name, job.options.data or ""), []).append(job)
    for (_, data), own in places.items():
        dataset = dataset_of(own[0])
        with listener.begin(f"checking {dataset.title}") as part:
            classes = 1 + len(dataset.structures) if dataset.structures else min(map(_classes, own))
            scans = find(dataset, data)
            for number, scan in enumerate(scans, 1):
                scan.read(classes)
                part.at(number, len(scans))
    return []


def _classes(job: Job) -> int:
    """Return the number of classes of a model; the largest possible one if its row will say why it cannot be scored."""
    try:
        return count(job)
    except UnavailableError:
        return MOST
