"""Rows of pages as plain data: the cells of a table, and the evidence behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from claimbench.bench.publish.site.gather import PaperResults
from claimbench.bench.publish.site.reproduce import command
from claimbench.bench.report.rows import Row
from claimbench.bench.report.verdicts import AGREES

GROUPS = {
    **dict.fromkeys(AGREES, "agrees"),
    "differs": "differs",
    "not comparable": "open",
    "not measured": "open",
    "not reported": "silent",
}
"""The outcome of a verdict: the figure stands, it does not, nobody can say yet, or nobody reports one."""


def paper_rows(result: PaperResults) -> list[dict[str, Any]]:
    """Return the rows of a paper's table; each has an ``id`` that stays the same from one build to the next."""
    seen: dict[str, int] = {}
    found = []
    for row in result.report.rows:
        name = _digest(row)
        seen[name] = seen.get(name, 0) + 1
        data = _row(result, row)
        data["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
        found.append(data)
    return found


def _digest(row: Row) -> str:
    text = "\0".join((row.subject, row.form, row.metric, row.conditions, row.source, row.reported))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:10]


def _row(result: PaperResults, row: Row) -> dict[str, Any]:
    figure = row.figure
    data: dict[str, Any] = {
        "model": row.subject,
        "form": row.form,
        "metric": row.title,
        "key": row.metric,
        "conditions": row.conditions,
        "reported": row.reported,
        "source": row.source,
        "measured": row.measured,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "unit": row.unit,
        "verdict": row.verdict,
        "group": GROUPS.get(row.verdict, "open"),
        "detail": row.detail,
        "relative": row.relative,
        "notes": list(row.notes),
        "command": command(result.paper, row) if result.known else "",
        "device": "",
        "precision": "",
        "batch": "",
        "mode": "",
    }
    if figure is not None:
        settings = figure.settings
        data |= {
            "device": figure.device,
            "precision": settings.precision,
            "batch": str(figure.batch or ""),
            "mode": settings.mode,
            "method": figure.method,
            "status": figure.status,
            "rounds": figure.rounds,
            "samples": figure.samples,
            "spread": figure.spread,
            "settings": {name: value for name, value in vars(settings).items() if value not in (None, "", (), False)},
            "run": figure.run,
            "time": figure.time,
            "commit": figure.commit,
            "environment": figure.environment,
        }
    return data


def counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the numbers of rows that agree, differ, are open and are reported by nobody."""
    found = dict.fromkeys(("agrees", "differs", "open", "silent"), 0)
    for row in rows:
        found[row["group"]] += 1
    return found


def flat(data: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested facts as (name, text) lines: ``cpu.model``, ``libraries.torch``."""
    found: list[tuple[str, str]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{before}{name}.")
        elif value not in (None, "", [], {}):
            found.append((f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found
