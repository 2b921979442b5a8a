"""The tidy table: one line for each row of reports, with typed columns, in the units of the measurements.

A metric has one name and one unit in all papers, whichever way each prints it: 33 (M) is 33,000,000 params.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from claimbench.bench import tasks
from claimbench.bench.core.quantities import TRAINING, sampled
from claimbench.bench.measure import ROWS
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.render import clean
from claimbench.bench.report.report import Report
from claimbench.bench.report.rows import Row, answer_of, input_size, is_named_as_reported, reported_number

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {name: unit for rows in ROWS.values() for name, unit in rows}
"""The units of measurements, by the row's name; scores keep the unit in which tables show them."""

_TYPES = {
    "str": "string",
    "float | None": "Float64",
    "int | None": "Int64",
    "datetime | None": "datetime64[us, UTC]",
}
"""The column types of pandas, by the types of :class:`ExportedRow`."""


@dataclass(frozen=True)
class ExportedRow:
    """One line of the table; texts are empty and other values None where there is nothing to say.

    Attributes:
        paper: its id.
        model, form: the model, or the two that a ratio or a difference compares; the form that it is built in.
        task: the task's name; empty for a figure on a task that nothing here runs.
        metric: the measurement's name, the same in all papers; the reported name of a metric that nothing measures.
        title: the metric in words.
        unit: of ``reported``, ``measured``, ``low`` and ``high``, without prefixes: params, MAC, s, B, img/s, %.
        reported, reported_text: the reported figure, as a number and as printed.
        measured, low, high: the measured figure and its 95 % interval.
        relative: measured over reported, minus one.
        verdict, degree: the verdict, and the answer that it amounts to; the README lists both.
        conditions: in words, of the measurement or, if there is none, of the report.
        input_size, batch, precision, mode, threads: the settings of the measurement that matter for its metric.
        device, commit, date: the device, the commit of this suite and the time in UTC of the measurement.
        pretraining: the data set of the model's weights before fine-tuning.
        reported_as: the name of the metric in ``paper.yaml``.
        source: the place of the reported figure.
        detail, notes: the difference, the reason or the missing part; and explanations.
        rounds, samples: the processes that measured it, and their samples.
        method, run, environment: the method, the run and the digest of the environment.
    """

    paper: str
    model: str
    form: str = ""
    task: str = ""
    metric: str = ""
    title: str = ""
    unit: str = ""
    reported: float | None = None
    reported_text: str = ""
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    verdict: str = ""
    degree: str = ""
    conditions: str = ""
    input_size: str = ""
    batch: int | None = None
    precision: str = ""
    mode: str = ""
    threads: int | None = None
    device: str = ""
    commit: str = ""
    date: datetime | None = None
    pretraining: str = ""
    reported_as: str = ""
    source: str = ""
    detail: str = ""
    notes: str = ""
    rounds: int | None = None
    samples: int | None = None
    method: str = ""
    run: str = ""
    environment: str = ""


def exported(reports: Iterable[Report]) -> list[ExportedRow]:
    """Return every row of the reports, in their order; no text controls a terminal."""
    return [_exported(report, row) for report in reports for row in report.rows]


def frame(rows: Iterable[ExportedRow]) -> pd.DataFrame:
    """Return the rows as a table of pandas, whose columns have the same types whatever is in them."""
    import pandas as pd

    rows = list(rows)
    columns = {
        field.name: pd.Series([getattr(row, field.name) for row in rows], dtype=_TYPES[str(field.type)])
        for field in fields(ExportedRow)
    }
    return pd.DataFrame(columns)


def _exported(report: Report, row: Row) -> ExportedRow:
    metric, figure = answer_of(row).row, row.figure
    values = (row.value, row.low, row.high)
    if figure is not None and figure.row == metric:
        values = (figure.value, figure.low, figure.high)
    measured, low, high = map(_number, values)
    exported = ExportedRow(
        paper=report.paper,
        model=row.subject,
        form=row.built,
        task=row.task,
        metric=metric,
        title=row.title,
        unit=_unit(row, metric),
        reported=_number(reported_number(row)),
        reported_text=row.reported,
        measured=measured,
        low=low,
        high=high,
        relative=_number(row.relative),
        verdict=row.verdict,
        degree=row.degree,
        conditions=row.conditions,
        pretraining=report.pretraining.get(row.subject, ""),
        reported_as=row.metric if is_named_as_reported(row) and not row.is_parity else "",
        source=row.source,
        detail=row.detail,
        notes="; ".join(row.notes),
        **({} if figure is None else _circumstances(figure)),
    )
    texts: dict[str, Any] = {name: clean(value) for name, value in vars(exported).items() if isinstance(value, str)}
    return replace(exported, **texts)


def _unit(row: Row, metric: str) -> str:
    """Return the unit in which a metric is measured, without prefixes."""
    unit = _UNITS.get(metric) or _UNITS.get(metric.removesuffix(TRAINING))
    return sampled(unit, tasks.shown(row.task).sample) if unit else row.unit


def _circumstances(figure: Figure) -> dict[str, Any]:
    """Return how and where a figure was measured; settings that do not matter for its metric are left out."""
    settings, kind = figure.settings, metrics.row(figure.row).kind
    costs = kind in ("time", "memory", "energy")
    return {
        "input_size": input_size(figure),
        "batch": _count(figure.batch) if costs else None,
        "precision": settings.precision if costs or kind == "quality" else "",
        "mode": settings.mode if costs else "",
        "threads": _count(settings.threads) if costs else None,
        "device": figure.device,
        "commit": figure.commit,
        "date": _date(figure.time),
        "rounds": figure.rounds,
        "samples": figure.samples,
        "method": figure.method,
        "run": figure.run,
        "environment": figure.environment,
    }


def _number(value: float | Decimal | None) -> float | None:
    """Return a number as a float; None for one that no float can be."""
    try:
        number = None if value is None else float(value)
    except OverflowError:
        return None
    return number if number is not None and isfinite(number) else None


def _count(value: int | None) -> int | None:
    """Return a count that 64 bits can hold; None for another."""
    return value if value is not None and abs(value) < 2**63 else None


def _date(text: str) -> datetime | None:
    """Return a time in UTC; None for a text that is none."""
    try:
        date = datetime.fromisoformat(text)
        return date.replace(tzinfo=date.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
