"""Records and papers that the tests of the engine share."""

from __future__ import annotations

from typing import Any

from claimbench.bench.core.records import Job, Measurement, Options, Record, Settings

RUN = "20260102T030405Z-aaaaaa"


def record(
    metric: str = "params",
    value: float | None = 33_467_040,
    *,
    paper: str = "demo",
    subject: str = "demo_t",
    form: str = "merged",
    run: str = RUN,
    unit: str = "params",
    round: int = 0,
    time: str = "2026-01-02T03:04:05Z",
    settings: Settings | None = None,
    options: dict[str, Any] | None = None,
    job_metric: str = "",
    environment: str = "0123456789abcdef",
    **measurement: Any,
) -> Record:
    """Return a record; one without a value says why."""
    if value is None:
        measurement = {"status": "unavailable", "reason": "there is no data set here", **measurement}
    job = Job(
        paper, subject, form, job_metric or metric, settings or Settings(), round, Options.from_json(options or {})
    )
    return Record(
        run, job, Measurement(metric, value, unit, **{"method": "counted", **measurement}), environment, "abc1234", time
    )
