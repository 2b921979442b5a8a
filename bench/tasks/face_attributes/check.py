"""Checks before any measurement: the lists of the data sets that jobs name, and every picture."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.data.pictures.picture_reader import header
from claimbench.bench.tasks.face_attributes.catalogue import DATASETS, FaceSet
from claimbench.bench.tasks.face_attributes.data import find
from claimbench.bench.tasks.face_attributes.faces import Faces


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check each data set once, and return cautions for the user.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
    """
    notes: list[str] = []
    for name, place, partial in dict.fromkeys(
        (job.options.dataset, job.options.data or "", job.options.partial) for job in jobs
    ):
        dataset = DATASETS[name]
        with listener.begin(f"checking {dataset.title}") as part:
            found = complete(dataset, find(dataset, place), place, partial=partial)
            for number, file in enumerate(found.files, 1):
                with header(file):
                    part.at(number, len(found.files))
            notes += found.notes
    return notes


def complete(dataset: FaceSet, found: Faces, place: str, *, partial: bool) -> Faces:
    """Return the faces that were found, which are as many as the data set's, or as ``partial`` allows.

    Raises:
        UserError: they are not.
    """
    if dataset.pictures and len(found.names) != dataset.pictures and not partial:
        raise UserError(
            f"{place} lists {len(found.names):,} faces where {dataset.title} has {dataset.pictures:,} "
            "(--partial evaluates what is there)"
        )
    return found
