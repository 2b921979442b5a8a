"""The checks before any measurement: each task looks at the data that its own jobs name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench import tasks
from claimbench.bench.core.listener import Listener
from claimbench.bench.machine.process import Interruptible, Stop

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job


def precheck(jobs: Sequence[Job], stop: Stop, listener: Listener) -> list[str]:
    """Check the data that accuracy jobs name; return what a user should know about them though nothing is wrong.

    Raises:
        UserError: data are missing or damaged, or do not fit a model; one sentence.
        Interrupted: a signal asked to stop.
    """
    by_task: dict[str, list[Job]] = {}
    for job in jobs:
        if job.metric == "accuracy" and job.options.data is not None:
            by_task.setdefault(tasks.of(job.options).name, []).append(job)
    told = Interruptible(stop, listener)
    return [note for name, found in by_task.items() for note in tasks.get(name).check(found, told)]
