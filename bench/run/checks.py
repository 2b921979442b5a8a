"""What is checked before anything is measured: each task looks at the data that its own jobs name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from claimbench.bench import tasks
from claimbench.bench.core.task import Progress, Shown
from claimbench.bench.machine.process import Stop, watching

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job


def precheck(jobs: Sequence[Job], stop: Stop, shown: Shown) -> list[str]:
    """Check the data that accuracy jobs name; return what a user should know about them though nothing is wrong.

    Raises:
        UserError: data are missing or damaged, or do not fit a model; one sentence.
        Interrupted: a signal asked to stop.
    """

    @contextmanager
    def stopping(what: str) -> Iterator[Progress]:
        with shown(what) as progress:
            yield watching(stop, progress)

    by_task: dict[str, list[Job]] = {}
    for job in jobs:
        if job.metric == "accuracy" and job.options.data is not None:
            by_task.setdefault(tasks.of(job.options).name, []).append(job)
    return [note for name, found in by_task.items() for note in tasks.get(name).check(found, stopping)]
