"""The time that the rest of a run is expected to take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from claimbench.bench.core.records import Job
from claimbench.bench.core.statistics import median
from claimbench.bench.store.history import History


class Forecast:
    """Expects each job to take as long as its like took before on this machine.

    The like of a job is, in this order: the same subject and metric in stored records; the same metric earlier in this
    run; what :meth:`claimbench.bench.store.history.History.seconds` takes for its kind.

    Args:
        jobs: those left, in their order.
        history: of the device.
    """

    def __init__(self, jobs: Sequence[Job], history: History) -> None:
        self._jobs, self._history = list(jobs), history
        self._spent: dict[str, list[float]] = defaultdict(list)
        self._later = sum(map(self.seconds, self._jobs[1:]))
        self.begin()

    def seconds(self, job: Job) -> float:
        """Return the seconds that a job is expected to take."""
        known = self._history.of_unit(job)
        if known is None and self._spent[job.metric]:
            return median(self._spent[job.metric])
        return self._history.seconds(job) if known is None else known

    def begin(self) -> None:
        """Take note that the first of the jobs left begins."""
        self._begun = time.monotonic()

    def end(self) -> None:
        """Take note that it is done."""
        self._spent[self._jobs.pop(0).metric].append(time.monotonic() - self._begun)
        self.begin()
        self._later = sum(map(self.seconds, self._jobs[1:]))

    def job(self) -> float:
        """Return the seconds that the job at work is expected to go on."""
        return max(0.0, self.seconds(self._jobs[0]) - (time.monotonic() - self._begun)) if self._jobs else 0.0

    def left(self) -> float:
        """Return the seconds that all jobs are expected to go on."""
        return self.job() + self._later
