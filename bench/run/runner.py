"""Runs a plan and keeps what it gives: in the store, or in memory where nothing can or shall be stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, Record
from claimbench.bench.machine import environment
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.run.jobs import run_jobs
from claimbench.bench.run.plan import processes
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.store import Store

TIMEOUT_S = {"accuracy": 7 * 24 * 3600.0}
"""Seconds that a job of a metric may take; :data:`OTHER_TIMEOUT_S` for all others."""

OTHER_TIMEOUT_S = 900.0

Progress = Callable[[Job, list[Measurement] | None], None]
"""Called before a job (with None) and after it (with its rows)."""


@dataclass(frozen=True)
class Screen:
    """Where progress is shown: what is told of it. Both are None where nothing is shown.

    Attributes:
        job: of every job, before and after it.
        claim: in words, of a claim that is tested next.
    """

    job: Progress | None = None
    claim: Callable[[str], None] | None = None


@dataclass
class Ledger:
    """The records of one run.

    Attributes:
        run: the run's id.
        device: where it measures.
        store: where records go; None to keep them in memory.
        problem: why storing stopped, one sentence; empty while all is well. Records are then kept in memory.
        kept: records that are not in the store.
    """

    run: str
    device: str
    store: Store | None
    problem: str = ""
    kept: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._facts = environment.capture(self.device)
        self._name = environment.device_name(self.device)
        self._digest = environment.digest(self._facts)
        if self.store is not None:
            self._digest = self.store.add_environment(self._facts)

    def add(self, job: Job, rows: list[Measurement]) -> None:
        """Keep the rows of one job; where they cannot be stored, go on in memory and note why."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        records = [Record(self.run, job, row, self._digest, environment.commit(), now) for row in rows]
        if self.store is not None and not self.problem:
            try:
                self.store.append(*records, device=self._name)
                return
            except UserError as error:
                self.problem = f"{error}: what was measured from then on is only in this output"
        self.kept += [StoredRecord(**vars(r), device=self._name, key=job.key(), rows=len(rows)) for r in records]

    def records(self) -> list[Record]:
        """Return every record of the run: those stored, now or before it was resumed, and those in memory."""
        stored = list(self.store.query(run=self.run)) if self.store is not None else []
        return [*stored, *self.kept]

    def samples(self, record: Record) -> tuple[float, ...]:
        """Return the samples of a record."""
        if record.measurement.samples or self.store is None:
            return record.measurement.samples
        return self.store.samples(record)

    def environment(self, digest: str) -> dict[str, Any]:
        """Return the environment of a digest."""
        if digest == self._digest:
            return self._facts
        return self.store.environment(digest) if self.store is not None else {}


def done(store: Store | None, run: str) -> set[str]:
    """Return the keys of the jobs of a run that are stored; failures count, since they are results too."""
    if store is None or run not in store.runs():
        return set()
    return store.done_keys(run)


def as_it_is(job: Job) -> Job:
    """Return a job that needs to be told nothing more."""
    return job


def execute(
    plan: RunFile,
    ledger: Ledger,
    stop: Stop,
    finished: Collection[str] = (),
    progress: Progress | None = None,
    prepare: Callable[[Job], Job] = as_it_is,
) -> None:
    """Run what is left of a plan, one process at a time.

    Args:
        plan: the plan.
        ledger: keeps the rows.
        stop: watched while waiting.
        finished: keys of jobs that are not run again.
        progress: told of every job.
        prepare: tells a job what only this run can know, just before it is run; what is stored is the job as planned.

    Raises:
        Interrupted: a signal asked to stop; the job in flight is lost, all others are kept.
    """
    found = _Batches(ledger.records() if finished else ())
    for jobs in processes(plan.jobs):
        left = [job for job in jobs if job.key() not in finished]
        if stop.requested:
            raise Interrupted
        if left and progress:
            progress(left[0], None)
        answers = run_jobs([prepare(found.fix(job)) for job in left], timeout_of(left, plan), stop)
        for number, (job, (_, rows)) in enumerate(zip(left, answers, strict=True), 1):
            ledger.add(job, rows)
            found.note(job, rows)
            if progress:
                progress(job, rows)
                if number < len(left):
                    progress(left[number], None)


class _Batches:
    """The batch sizes that searches found: what the first round settled on, the other rounds measure too."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._found: dict[str, int] = {}
        for record in records:
            self.note(record.job, [record.measurement])

    def note(self, job: Job, rows: Iterable[Measurement]) -> None:
        """Remember what a job with a batch of its own choice was measured with."""
        for row in rows:
            if job.settings.batch is None and row.status == "measured" and row.detail.get("batch"):
                self._found.setdefault(self._first(job), int(row.detail["batch"]))

    def fix(self, job: Job) -> Job:
        """Return the job as it is to be run: with the batch that an earlier round found, if one did."""
        batch = self._found.get(self._first(job))
        return job if batch is None else replace(job, options=replace(job.options, batch=batch))

    @staticmethod
    def _first(job: Job) -> str:
        return replace(job, round=0).key()


def timeout_of(jobs: list[Job], plan: RunFile) -> float:
    """Return how long each of ``jobs``, which share a process, may take."""
    if plan.timeout is not None:
        return plan.timeout
    return max((TIMEOUT_S.get(job.metric, OTHER_TIMEOUT_S) for job in jobs), default=OTHER_TIMEOUT_S)
