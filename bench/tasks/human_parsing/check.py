"""Checks before any measurement: every picture and label map of the data sets that jobs name."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.data.pictures.masked import labelled
from claimbench.bench.tasks.classes import count
from claimbench.bench.tasks.human_parsing.catalogue import DATASETS
from claimbench.bench.tasks.human_parsing.data import find, meaning

MOST = 256
"""Labels that a label map of 8 bits can hold."""


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check each data set once; if it does not state its labels, the models that are scored on it do.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
    """
    notes: list[str] = []
    places: dict[tuple[str, str, bool], list[Job]] = {}
    for job in jobs:
        places.setdefault((job.options.dataset, job.options.data or "", job.options.partial), []).append(job)
    for (name, place, partial), own in places.items():
        dataset = DATASETS[name]
        with listener.begin(f"checking {dataset.title}") as part:
            found = find(dataset, place, partial=partial)
            known = meaning(len(dataset.labels) or min(map(_labels, own)))
            for number, pair in enumerate(found.pairs, 1):
                labelled(pair, known, dataset.title)
                part.at(number, len(found.pairs))
            notes += found.notes
    return notes


def _labels(job: Job) -> int:
    """Return the number of labels of a model; the most there can be if its row will say why it cannot be scored."""
    try:
        return count(job)
    except UnavailableError:
        return MOST
