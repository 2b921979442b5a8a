"""JSON for programs: :data:`SCHEMA` changes when a name or a meaning does. Only ASCII is written."""

from __future__ import annotations

import json
from dataclasses import asdict

from claimbench.bench.report.render import plain
from claimbench.bench.report.report import Report

SCHEMA = 1


def render(report: Report, width: int = 0) -> str:
    """Return a report as one JSON object."""
    data = {
        "schema": SCHEMA,
        "kind": "claimbench report",
        "paper": report.paper,
        "title": report.title,
        "counts": report.counts(),
        "rows": [plain(row) for row in report.rows],
        "pairs": [asdict(pair) for pair in report.pairs],
        "claims": [asdict(claim) for claim in report.claims],
        "setups": [asdict(setup) for setup in report.setups],
    }
    return json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
