"""Checks before any measurement: the annotations and every picture of the folders that jobs name."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.tasks.object_detection.catalogue import COCO, PICTURES
from claimbench.bench.tasks.object_detection.data import GroundTruth, checked


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check each folder once, and return a remark for each that holds less than the whole data set.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
    """
    notes = []
    for data, partial in dict.fromkeys((job.options.data or "", job.options.partial) for job in jobs):
        with listener.begin(f"checking {COCO.title}") as part:
            truth = checked(data, partial=partial, listener=part)
        if truth.partial:
            notes.append(how_many(truth))
        if flat := sum(1 for each in truth.objects if not min(each["bbox"][2:])):
            notes.append(
                f"{flat:,} of the objects of {COCO.title} have a box without an area, which nothing can be found to be"
            )
    return notes


def how_many(truth: GroundTruth) -> str:
    """Return the share of the data set that is present, as a phrase."""
    gone = truth.listed - len(truth.pictures)
    left = f", {gone:,} more left out that are not there" if gone else ""
    return f"partial data: {len(truth.pictures):,} of {PICTURES:,} pictures of {COCO.title}{left}"
