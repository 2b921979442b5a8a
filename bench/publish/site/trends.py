"""The figures of each configuration from run to run: one line for each, for every metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from claimbench.bench.core.grouping import grouped
from claimbench.bench.publish.site.gather import PaperResults
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure, figures
from claimbench.bench.report.rows import conditions
from claimbench.bench.store.store import Store, when

MOST_POINTS = 200
"""Runs that one line shows; the newest, if there are more."""

Line = dict[str, Any]


def history(store: Store, result: PaperResults) -> list[Line]:
    """Return the lines of a paper: (time, value, low, high, run, commit) for each run, the oldest first."""
    by_run = grouped(result.records, lambda record: record.run)
    lines: dict[tuple[str, ...], Line] = {}
    for run in sorted(by_run):
        for figure in figures(by_run[run], store.samples):
            time = when(figure.time)
            if figure.value is not None and time is not None and time.year > 1970:
                _add(lines, figure)
    for line in lines.values():
        line["left_out"] = max(0, len(line["points"]) - MOST_POINTS)
        line["points"] = line["points"][-MOST_POINTS:]
    order = sorted(lines.items(), key=lambda item: (metrics.rank(item[1]["key"]), item[0]))
    return [line for _, line in order]


def _add(lines: dict[tuple[str, ...], Line], figure: Figure) -> None:
    row = metrics.row(figure.row)
    machine = figure.device if row.kind in ("time", "memory", "energy") else ""
    how = conditions(figure)
    name = (figure.row, figure.subject, figure.form, machine, how)
    line = lines.setdefault(
        name,
        {
            "key": figure.row,
            "metric": row.title,
            "unit": row.unit,
            "better": row.better,
            "model": figure.subject,
            "form": figure.form,
            "device": machine,
            "conditions": how,
            "points": [],
        },
    )
    scale = float(row.scale)
    values: Sequence[float | None] = [None if v is None else v / scale for v in (figure.value, figure.low, figure.high)]
    if all(v is None or math.isfinite(v) for v in values):
        line["points"].append([figure.time, *values, figure.run, figure.commit])
