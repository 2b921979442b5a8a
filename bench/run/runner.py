"""Runs what is left of a plan, job after job, and keeps what comes in the run's ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Job, Measurement, Record
from claimbench.bench.machine import environment
from claimbench.bench.machine.process import Interrupted, Process, Stop
from claimbench.bench.run.forecast import Forecast
from claimbench.bench.run.jobs import run_jobs, start
from claimbench.bench.run.plan import is_untimed, processes
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.evidence.reading import shown
from claimbench.bench.store.history import History
from claimbench.bench.store.ledger import Ledger

if TYPE_CHECKING:
    from claimbench.bench.run.dispatch import Dispatch

TIMEOUT_S = {"accuracy": 7 * 24 * 3600.0}
"""Seconds that a job of a metric may take; :data:`OTHER_TIMEOUT_S` for all others."""

OTHER_TIMEOUT_S = 900.0


def execute(
    plan: RunFile,
    ledger: Ledger,
    stop: Stop,
    listener: Listener = SILENT,
    dispatch: Dispatch | None = None,
    counted: Callable[[], None] = lambda: None,
    history: History | None = None,
) -> None:
    """Run what is left of a plan, one process at a time; two at once where neither needs a clock and there are cores.

    Args:
        plan: the plan.
        ledger: keeps the rows, and knows what is done.
        stop: watched while waiting.
        listener: told of every job.
        dispatch: adds the options that only this run knows, just before a job runs; the job is stored as planned.
        counted: called once what needs no clock is done, if something is left that does.
        history: of the device, from which the time left is expected.

    Raises:
        Interrupted: a signal asked to stop; the job in flight is lost, all others are kept.
    """
    finished = ledger.done()
    found = _Batches(ledger.records() if finished else ())
    done = len(plan.jobs) - len(plan.left(finished))
    early = not done
    with listener.begin("all jobs", len(plan.jobs), done=done) as whole, closing(_Ahead()) as ahead:
        work = _AtWork(whole, Forecast(plan.left(finished), history or History(())), dispatch)
        groups = [[job for job in jobs if job.key() not in finished] for jobs in processes(plan.jobs)]
        groups = [jobs for jobs in groups if jobs]
        for left, following in zip(groups, [*groups[1:], []], strict=False):
            if early and done and not is_untimed(left[0]):
                early = False
                counted()
            if stop.requested:
                raise Interrupted
            told = [found.fix(job) if dispatch is None else dispatch.prepare(found.fix(job)) for job in left]
            started = ahead.take(left, following)
            with closing(run_jobs(told, timeout_of(left, plan), stop, work.wait, work, started)) as answers:
                for job in left:
                    with work.on(job) as part:
                        _, rows = next(answers)
                        ledger.add(job, rows, plan.device)
                        found.note(job, rows)
                        if failed := next((row.reason for row in rows if row.status == "failed"), ""):
                            part.failed(failed)
                    done += 1
                    work.forecast.end()
                    whole.at(done)


class _Ahead:
    """Starts the process of the next jobs while others run, where nothing of either is timed."""

    def __init__(self) -> None:
        self._process: Process | None = None

    def take(self, jobs: list[Job], following: list[Job]) -> Process | None:
        """Return the process that was started for ``jobs``, if any, and start that of those that follow them."""
        process, self._process = self._process, None
        if environment.cores() > 1 and following and all(map(is_untimed, (*jobs, *following))):
            self._process = start(following)
        return process

    def close(self) -> None:
        """End a process that nobody took."""
        if self._process is not None:
            self._process.close()


class _AtWork(Listener):
    """Told by a worker how far its job is; tells the listeners of that job and of all jobs, with the time left."""

    def __init__(self, whole: Listener, forecast: Forecast, dispatch: Dispatch | None) -> None:
        self.forecast = forecast
        self._whole, self._dispatch = whole, dispatch
        self._part, self._name = SILENT, ""

    def on(self, job: Job) -> Listener:
        """Take note of the job at work from now on, and return its listener."""
        self.forecast.begin()
        self._whole.expect(self.forecast.left())
        self._name = label(job)
        self._part = self._whole.begin(self._name)
        self._part.expect(self.forecast.job())
        if self._dispatch is not None:
            self._dispatch.watch(job, self._name, self._part)
        return self._part

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        self._part.at(done, total, f"{self._name}, {what}")

    def wait(self) -> None:
        """Tell how far the job is that is waited for."""
        self._whole.expect(self.forecast.left())
        if self._dispatch is not None:
            self._dispatch.tell()


def label(job: Job) -> str:
    """Return a job in words."""
    settings = job.settings
    parts = [
        job.subject,
        job.form,
        job.metric,
        f"batch {settings.batch}" if settings.batch else "",
        settings.precision if settings.precision != "fp32" else "",
        settings.mode if settings.mode != "eager" else "",
        f"round {job.round + 1}" if job.round else "",
    ]
    return " ".join(part for part in parts if part)


class _Batches:
    """The batch sizes that searches found: all rounds measure the one that the first round settled on."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._found: dict[str, int] = {}
        for record in records:
            self.note(record.job, [record.measurement])

    def note(self, job: Job, rows: Iterable[Measurement]) -> None:
        """Remember what a job with a batch of its own choice was measured with."""
        for row in rows:
            batch = shown(row).batch
            if job.settings.batch is None and row.status == "measured" and batch:
                self._found.setdefault(self._first(job), batch)

    def fix(self, job: Job) -> Job:
        """Return the job as it is to be run: with the batch that an earlier round found, if one did."""
        batch = self._found.get(self._first(job))
        return job if batch is None else replace(job, options=replace(job.options, batch=batch))

    @staticmethod
    def _first(job: Job) -> str:
        return replace(job, round=0).key()


def timeout_of(jobs: list[Job], plan: RunFile) -> float:
    """Return the seconds that each of ``jobs``, which share a process, may take."""
    if plan.timeout is not None:
        return plan.timeout
    return max((TIMEOUT_S.get(job.metric, OTHER_TIMEOUT_S) for job in jobs), default=OTHER_TIMEOUT_S)
