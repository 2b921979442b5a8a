"""Rows of pages as plain data: the cells of a table, and the evidence behind them."""

from __future__ import annotations

import hashlib
from typing import Any

from claimbench.bench.publish.site.gather import PaperResults
from claimbench.bench.publish.site.reproduce import command
from claimbench.bench.report.rows import Row

_OF_ROW = (
    "conditions", "reported", "source", "measured", "value", "low", "high", "unit", "verdict", "degree", "detail",
    "relative",
)  # fmt: skip
_OF_FIGURE = (
    "device", "method", "status", "rounds", "samples", "spread", "run", "time", "commit", "environment",
)  # fmt: skip
"""The fields of a row and of its figure that pages show as they are."""


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
        **{name: getattr(row, name) for name in _OF_ROW},
        "notes": list(row.notes),
        "command": command(result.paper, row) if result.known else "",
        **dict.fromkeys(("device", "precision", "batch", "mode"), ""),
    }
    if figure is not None:
        settings = figure.settings
        data |= {
            **{name: getattr(figure, name) for name in _OF_FIGURE},
            "precision": settings.precision,
            "batch": str(figure.batch or ""),
            "mode": settings.mode,
            "settings": {name: value for name, value in vars(settings).items() if value not in (None, "", (), False)},
        }
    return data
