"""Runs jobs in a process of their own; a job that takes its process down becomes rows that say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.machine.process import Process, Stop
from claimbench.bench.run.expected_rows import missing
from claimbench.bench.store.schema import read_measurements

WORKER = "claimbench.bench.run.worker"
"""The module that runs jobs."""


def start(jobs: Sequence[Job]) -> Process:
    """Start a process that runs the jobs, one after the other, and keeps their rows until :func:`run_jobs` asks."""
    return Process(WORKER, [job.to_json() for job in jobs])


def run_jobs(
    jobs: Sequence[Job],
    timeout: float,
    stop: Stop | None = None,
    waiting: Callable[[], None] | None = None,
    listener: Listener = SILENT,
    process: Process | None = None,
) -> Generator[tuple[Job, list[Measurement]], None, None]:
    """Run ``jobs`` one after the other in one process, and yield each with its rows as soon as they are there.

    A job that takes the process down with it yields rows that say so; those after it run in a new process.

    Args:
        jobs: the jobs, in order.
        timeout: seconds that one job may take.
        stop: watched while waiting.
        waiting: called every second while waiting.
        listener: told how far the job at work is.
        process: that :func:`start` started for these jobs; None to start one.

    Raises:
        Interrupted: a signal asked to stop; the process is gone.
    """
    left = list(jobs)
    while left:
        process = process or start(left)
        try:
            while left:
                reason = ""
                try:
                    line = process.line(timeout, stop, waiting, listener)
                    rows = read_measurements(json.loads(line)) if line is not None else None
                except TimeoutError:
                    rows, reason = None, f"not done after {timeout:g} s (--timeout)"
                except ValueError as error:
                    rows, reason = None, f"the process gave a wrong answer: {error}"
                job = left.pop(0)
                if rows is None:
                    yield job, missing(job, reason or process.end(), failed=True)
                    break
                yield job, rows
        finally:
            process.close()
            process = None
