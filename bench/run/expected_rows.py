"""The rows that a job yields, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterable

from claimbench.bench import tasks
from claimbench.bench.core.quantities import sampled
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.measure import ROWS


def rows(job: Job) -> tuple[tuple[str, str], ...]:
    """Return the rows (name, unit) that ``job`` is expected to yield."""
    left_out: set[str] = set()
    if not job.settings.device.startswith("cuda"):
        left_out |= {"memory_reserved", "memory_device"}
    if not job.options.second_opinion:
        left_out.add("macs_fvcore")
    return tuple(row for row in every_row(job) if row[0] not in left_out)


def every_row(job: Job) -> tuple[tuple[str, str], ...]:
    """Return the rows (name, unit) that the metric of ``job`` yields on any device."""
    task = tasks.shown(job.options.task)
    if job.metric == "accuracy":
        return task.expected(job.options.dataset, job.options.config)
    return tuple((row, sampled(unit, task.sample)) for row, unit in ROWS[job.metric])


def possible_rows(job: Job) -> dict[str, str]:
    """Return the unit of every row that the metric of ``job`` can yield, also of scores that only some data have."""
    found = dict(every_row(job))
    task = tasks.shown(job.options.task)
    dataset = task.datasets.get(job.options.dataset) if job.metric == "accuracy" else None
    if dataset is not None:
        found |= {name: row.unit for name, row in task.rows_on(dataset).items()}
    return found


def missing(job: Job, reason: str, *, failed: bool) -> list[Measurement]:
    """Return every row of the job with the same reason and no value."""
    expected: Iterable[tuple[str, str]] = rows(job) if job.metric in ROWS else ((job.metric, ""),)
    return [Measurement.missing(metric, unit, reason, failed=failed) for metric, unit in expected]
