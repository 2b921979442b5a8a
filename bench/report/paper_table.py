"""A report as papers print it: a line for each model, with parameters, FLOPs, a score and the speed.

A model's forms have lines of their own if figures are reported of them; of a model without reported figures, the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from claimbench.bench.core.rounding import show
from claimbench.bench.report import metrics
from claimbench.bench.report.report import Report
from claimbench.bench.report.rows import Row, answer_of, reported_number

_M, _G = Decimal(10**6), Decimal(10**9)

_SHORT = 12
"""The characters of a commit that the notes print."""


@dataclass(frozen=True)
class PaperTable:
    """The table and the lines beneath it.

    Attributes:
        titles: of the quantities; each has two columns, reported and measured.
        lines: the model, then two cells for each quantity.
        notes: the circumstances of the measurements and the sources of the reported figures, one sentence each.
    """

    titles: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """A quantity of the table: the measurement's name, its title, its scale, and the decimals of measured figures."""

    metric: str
    title: str
    scale: Decimal
    decimals: int


def paper_table(report: Report) -> PaperTable:
    """Return the table of a report; quantities that no model has are left out."""
    groups = _groups(report.rows)
    conditions = _usual_conditions(report.rows)
    chosen = [
        (quantity, {model: _chosen(rows, quantity.metric, conditions) for model, rows in groups.items()})
        for quantity in _columns(report.rows)
    ]
    chosen = [(quantity, rows) for quantity, rows in chosen if any(any(pair) for pair in rows.values())]
    models = [model for model in groups if any(any(rows[model]) for _, rows in chosen)]
    lines = [(model, *(cell for q, rows in chosen for cell in _cells(q, *rows[model]))) for model in models]
    shown = [row for model in models for _, rows in chosen for row in rows[model] if row is not None]
    titles = tuple(quantity.title for quantity, _ in chosen)
    return PaperTable(titles, tuple(lines), tuple(_notes(report, shown, conditions)))


def _groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each line by its name, a model or one of its forms."""
    by_form: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        by_form.setdefault(row.subject, {}).setdefault(row.form, []).append(row)
    groups = {}
    for subject, forms in by_form.items():
        named = [form for form, members in forms.items() if any(row.reported and not row.is_parity for row in members)]
        for form in named or list(forms)[:1]:
            groups[f"{subject} ({form})" if len(named) > 1 else subject] = forms[form]
    return groups


def _columns(rows: Sequence[Row]) -> list[_Column]:
    """Return the quantities that the table may have."""
    found = [_Column("params", "Parameters (M)", _M, 2), _Column("macs", "FLOPs (G)", _G, 2), *_score(rows)]
    units = [row.unit for row in rows if answer_of(row).row == "throughput"]
    return [*found, *(_Column("throughput", f"Speed ({unit})", Decimal(1), 0) for unit in units[:1])]


def _score(rows: Sequence[Row]) -> list[_Column]:
    """Return the score that most models have, measured ones first; nothing if there is none."""
    scores: Counter[str] = Counter()
    for row in rows:
        metric = answer_of(row).row
        if metric in metrics.ROWS and metrics.row(metric).kind == "quality":
            scores[metric] += (len(rows) + 1) * (row.value is not None) + bool(row.reported)
    best = next((metric for metric, count in scores.most_common(1) if count), None)
    if best is None:
        return []
    titled = sorted((row for row in rows if answer_of(row).row == best), key=lambda row: not row.reported)
    unit = metrics.row(best).unit
    return [_Column(best, f"{titled[0].title} ({unit})" if unit else titled[0].title, Decimal(1), 1)]


def _usual_conditions(rows: Iterable[Row]) -> str:
    """Return the conditions under which most models were timed; empty if none was."""
    timed = Counter(row.conditions for row in rows if answer_of(row).row == "throughput" and row.value is not None)
    return next((conditions for conditions, _ in timed.most_common(1)), "")


def _chosen(rows: Iterable[Row], metric: str, conditions: str) -> tuple[Row | None, Row | None]:
    """Return a model's rows with the reported and the measured figure of a metric."""
    fitting = [row for row in rows if answer_of(row).row == metric]
    measured = [row for row in fitting if row.value is not None]
    if metric == "throughput":
        measured = [row for row in measured if row.conditions == conditions]
    reported = next((row for row in fitting if reported_number(row) is not None), None)
    return reported, next(iter(measured), None)


def _cells(quantity: _Column, reported: Row | None, measured: Row | None) -> tuple[str, str]:
    """Return the reported and the measured cell; a figure printed in the column's unit stays as it is printed."""
    printed = number = ""
    if reported is not None and (stated := reported_number(reported)) is not None:
        same = answer_of(reported).scale == quantity.scale
        printed = reported.reported.split()[0] if same else show(stated / quantity.scale, quantity.decimals)
    figure = None if measured is None else measured.figure
    if figure is not None and figure.value is not None:
        value = Decimal(figure.value) / quantity.scale
        number = show(value, quantity.decimals, 4 if quantity.decimals else 3)
        if quantity.metric == "throughput" and figure.low is not None and figure.high is not None and value:
            wide = max(Decimal(figure.high) - value, value - Decimal(figure.low)) / value
            number += f" \N{PLUS-MINUS SIGN} {100 * wide:.2g} %"
    return printed, number


def _notes(report: Report, shown: Sequence[Row], conditions: str) -> Iterable[str]:
    for device in dict.fromkeys(setup.device for setup in report.setups):
        setups = [setup for setup in report.setups if setup.device == device]
        days = dict.fromkeys((min(setup.first for setup in setups), max(setup.last for setup in setups)))
        commits = dict.fromkeys(setup.commit[:_SHORT] or "unknown" for setup in setups)
        yield f"Measured on {device}, {' to '.join(days)}, at {', '.join(commits)}."
    if conditions:
        yield f"Speed: {conditions}; half the 95 % interval of the median behind it."
    if any(answer_of(row).row == "macs" for row in shown):
        yield "FLOPs are multiply-adds, as most papers print them."
    speeds = [row for row in shown if answer_of(row).row == "throughput" and row.reported]
    why = dict.fromkeys(row.detail for row in speeds if row.verdict == "not comparable" and row.detail)
    yield from (f"Speeds: {reason}." for reason in why)
    sources = dict.fromkeys(row.source for row in shown if row.reported and row.source)
    if sources:
        yield f"Reported: {'; '.join(sources)}."
