"""JSON for programs: :data:`SCHEMA` changes when a name or a meaning does. Only ASCII is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from claimbench.bench.report.report import Report
from claimbench.bench.report.rows import Row

SCHEMA = 1


def render(reports: Sequence[Report], width: int = 0, all: bool = True) -> str:
    """Return reports, one or several, as one JSON object that lists them."""
    data = {"schema": SCHEMA, "kind": "claimbench reports", "reports": [plain_report(report) for report in reports]}
    return json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def plain_report(report: Report) -> dict[str, Any]:
    """Return a report as plain data."""
    return {
        "schema": SCHEMA,
        "kind": "claimbench report",
        "paper": report.paper,
        "title": report.title,
        "counts": report.counts(),
        "rows": [_plain_row(row) for row in report.rows],
        "pairs": [asdict(pair) for pair in report.pairs],
        "claims": [asdict(claim) for claim in report.claims],
        "setups": [asdict(setup) for setup in report.setups],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    figure = row.figure
    return {
        "subject": row.subject,
        "form": row.form,
        "metric": row.metric,
        "title": row.title,
        "unit": row.unit,
        "conditions": row.conditions,
        "reported": row.reported,
        "source": row.source,
        "measured": row.measured,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "rounds": figure.rounds if figure else None,
        "samples": figure.samples if figure else None,
        "verdict": row.verdict,
        "degree": row.degree,
        "detail": row.detail,
        "relative": row.relative,
        "notes": list(row.notes),
        "method": figure.method if figure else "",
        "device": figure.device if figure else "",
        "run": figure.run if figure else "",
        "commit": figure.commit if figure else "",
        "environment": figure.environment if figure else "",
        "time": figure.time if figure else "",
    }
