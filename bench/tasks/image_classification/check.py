"""Checks before pictures are classified: of the data of each accuracy job, and of the model's classes against them."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.manifest import check_classes
from claimbench.bench.measure.scoring.evidence import has_data, is_trained
from claimbench.bench.tasks.classes import count
from claimbench.bench.tasks.image_classification.catalogue import DATASETS, DEFAULT
from claimbench.bench.tasks.image_classification.data import find


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check the data that jobs name, and return the remarks for the user about data that pass.

    Raises:
        UserError: data are missing or damaged, or do not fit a model; one sentence.
    """
    found: dict[tuple[str, str, bool], Pictures] = {}
    notes: list[str] = []
    for job in jobs:
        if not has_data(job):
            continue
        key = (job.options.dataset or DEFAULT, job.options.data or "", job.options.partial)
        if key not in found:
            with listener.begin(f"checking {DATASETS[key[0]].title}") as part:
                found[key] = find(DATASETS[key[0]], key[1], partial=key[2], listener=part)
            notes += found[key].notes
    seen = set()
    for job in jobs:
        model = (job.paper, job.subject, job.form)
        if not has_data(job) or not is_trained(job) or model in seen:
            continue
        seen.add(model)
        key = (job.options.dataset or DEFAULT, job.options.data or "", job.options.partial)
        try:
            classes = count(job)
        except (UnavailableError, UserError):
            continue  # the job's own row will say it
        check_classes(DATASETS[key[0]], found[key], classes, job.subject)
    return notes
