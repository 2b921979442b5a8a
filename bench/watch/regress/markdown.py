"""A comparison as Markdown, for a pull request or a job's summary. The same outcome gives the same bytes."""

from __future__ import annotations

from tabulate import tabulate

from claimbench.bench.report.render.markdown import escape
from claimbench.bench.watch.regress import wording
from claimbench.bench.watch.regress.findings import RegressionReport

MOST = 50
"""Rows of a table; GitHub cuts off long summaries."""


def render(outcome: RegressionReport) -> str:
    """Return a comparison as a Markdown page."""
    parts = [
        f"## Regressions: {escape(outcome.candidate)} against {escape(outcome.baseline)}",
        f"**{escape(outcome.sentence())}.**",
        _list([*wording.causes(outcome), *filter(None, [wording.machine(outcome)])]),
    ]
    for title, findings in wording.sections(outcome):
        rows = [[escape(cell) for cell in wording.cells(finding)] for finding in findings[:MOST]]
        parts += [f"### {title}", tabulate(rows, headers=wording.TITLES, tablefmt="pipe", disable_numparse=True)]
        if len(findings) > MOST:
            parts.append(f"... and {len(findings) - MOST} more.")
    left = wording.unmatched(outcome)
    if left:
        parts += ["### Not comparable", _list(left)]
    parts.append(wording.RULES)
    return "\n\n".join(parts) + "\n"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)
