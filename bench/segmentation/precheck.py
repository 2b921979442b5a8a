"""What is checked before anything is measured: every picture and mask of the data sets that jobs name."""

from __future__ import annotations

from collections.abc import Sequence

from bench.process import Stop
from bench.records import Job
from bench.segmentation.accuracy import dataset_of
from bench.segmentation.catalogue import VOID
from bench.segmentation.manifest import checked
from bench.tasks.checks import Shown, watching


def precheck(jobs: Sequence[Job], stop: Stop, shown: Shown) -> list[str]:
    """Check each data set once; where it does not say how many classes it has, any number below void will do.

    Raises:
        UserError: data are missing or damaged; one sentence names the file.
        Interrupted: a signal asked to stop.
    """
    places = {(dataset_of(job).name, job.options["data"], bool(job.options.get("partial"))): job for job in jobs}
    for (_, data, partial), job in places.items():
        dataset = dataset_of(job)
        with shown(dataset.title) as progress:
            checked(dataset, data, len(dataset.classes) or VOID, partial=partial, progress=watching(stop, progress))
    return []
