"""The history of each unit in a store: the time and commit of its last measurement, and its duration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.records import Job
from claimbench.bench.core.statistics import median
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.store import when

LONGEST_S = 1800.0
"""A gap between two records that is longer was not spent on measuring: the run had been cut off."""

DEFAULT_S = {"params": 4.0, "flops": 6.0, "parity": 6.0, "accuracy": 2.0, "energy": 8.0, "memory": 15.0}
"""The seconds that a job is taken to last if nothing like it was ever measured on a device."""

OTHER_DEFAULT_S = 15.0

Unit = tuple[str, str, str]
"""A unit, chosen or left out as a whole: paper (empty for a baseline), subject, metric."""


@dataclass(frozen=True)
class Past:
    """The history of one unit on one device.

    Attributes:
        time: of its last measurement.
        commit, environment: with which code, and where.
    """

    time: datetime
    commit: str
    environment: str


class History:
    """The past of a device, from its records."""

    def __init__(self, records: Iterable[StoredRecord]) -> None:
        self._past: dict[Unit, Past] = {}
        runs = grouped(records, lambda record: record.run)
        self._seconds: dict[Unit, list[float]] = defaultdict(list)
        for run in sorted(runs):
            self._learn(run, runs[run])

    def past(self, unit: Unit) -> Past | None:
        """Return the time of a unit's last measurement; None if there is none."""
        return self._past.get(unit)

    def of_unit(self, job: Job) -> float | None:
        """Return the seconds that jobs of the same unit took in their last run; None if there were none."""
        found = self._seconds.get(unit_of(job))
        return median(found) if found else None

    def seconds(self, job: Job) -> float:
        """Return the seconds that a job of this unit takes: its own last time, or that of others of its metric."""
        if (known := self.of_unit(job)) is not None:
            return known
        alike = [seconds for known, found in self._seconds.items() if known[2] == job.metric for seconds in found]
        return median(alike) if alike else DEFAULT_S.get(job.metric, OTHER_DEFAULT_S)

    def _learn(self, run: str, records: list[StoredRecord]) -> None:
        """Take in one run: a job took as long as passed since the one before it was stored."""
        before, key = when(run[:16]), ""
        seconds: dict[Unit, list[float]] = defaultdict(list)
        for record in records:
            now = when(record.time)
            if now is None:
                continue
            unit = unit_of(record.job)
            self._past[unit] = Past(now, record.commit, record.environment)
            if record.key != key and before is not None:
                spent = (now - before).total_seconds()
                if 0 <= spent <= LONGEST_S:
                    seconds[unit].append(spent)
            before, key = now, record.key
        self._seconds.update(seconds)  # the newest run counts: the code or the machine may have changed since


def unit_of(job: Job) -> Unit:
    """Return the unit that a job belongs to."""
    return job.paper, job.subject, job.metric
