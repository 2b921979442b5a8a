"""A night as Markdown: for a job's summary, an issue, and whoever reads the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from claimbench.bench.report.render.markdown import escape
from claimbench.bench.store.night_files import Night
from claimbench.bench.watch.nightly.budget import duration
from claimbench.bench.watch.regress import markdown
from claimbench.bench.watch.regress.findings import RegressionReport

MOST = 40
"""Lines of a list."""


def render(night: Night, outcome: RegressionReport | None) -> str:
    """Return a night as a Markdown page; the same night gives the same bytes."""
    parts = [
        f"# Night {escape(night.night)} on {escape(night.device)}",
        f"**{escape(_verdict(night))}**",
        _lines([f"commit {night.commit or 'unknown'}", f"started {night.started}", _budget(night)]),
    ]
    if outcome is not None:
        parts.append(markdown.render(outcome).rstrip())
    if night.failed:
        parts += ["## Not measured because it failed", _lines(night.failed)]
    parts += ["## Run", _table(night.run)]
    if night.left:
        parts += ["## Left out", _table(night.left)]
    return "\n\n".join(parts) + "\n"


def _verdict(night: Night) -> str:
    failed = f"; {len(night.failed)} failed" if night.failed else ""
    return f"{night.summary}{failed}."


def _budget(night: Night) -> str:
    expected = sum(row[3] or 0 for row in night.run)
    limit = f"budget {duration(night.budget)}" if night.budget is not None else "no budget"
    return f"{limit}, expected to take {duration(expected)}; {len(night.run)} things run, {len(night.left)} left out"


def _table(rows: Sequence[Sequence[Any]]) -> str:
    shown = [
        (escape(paper or "baseline"), escape(subject), escape(metric), _expected(seconds), escape(why))
        for paper, subject, metric, seconds, why in rows[:MOST]
    ]
    titles = ("Paper", "Model", "Metric", "Expected", "Why")
    table = tabulate(shown, headers=titles, tablefmt="pipe", disable_numparse=True)
    return table + (f"\n\n... and {len(rows) - MOST} more." if len(rows) > MOST else "")


def _expected(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _lines(texts: Sequence[str]) -> str:
    listed = [f"- {escape(text)}" for text in texts[:MOST]]
    return "\n".join([*listed, *([f"- ... and {len(texts) - MOST} more"] if len(texts) > MOST else [])])
