"""The check before heads are probed: the folder that the user named."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.tasks.representation_probing.catalogue import DATASETS
from claimbench.bench.tasks.representation_probing.data import check_place


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Check that each folder holds its data set; there is nothing more to tell.

    Raises:
        UserError: it does not, or the data set takes no folder.
    """
    for name, given in {(job.options.dataset, job.options.data or "") for job in jobs}:
        check_place(DATASETS[name], given)
    return []
