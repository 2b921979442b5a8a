"""Markdown, as GitHub shows it. The same report gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from claimbench.bench.report.render import clean
from claimbench.bench.report.render.sheet import sheet
from claimbench.bench.report.report import Report

_MEANING = re.compile(r"[\\`*\[\]|~#$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(reports: Sequence[Report], width: int = 0, all: bool = True) -> str:
    """Return reports as Markdown, a page each."""
    return "\n".join(map(_page, reports))


def _page(report: Report) -> str:
    page = sheet(report)
    parts = [f"# {escape(page.title)}", f"{escape(page.summary)}."]
    for table in page.tables:
        cells = [[escape(cell) for cell in row] for row in table.cells]
        body = tabulate(cells, headers=table.titles, tablefmt="pipe", disable_numparse=True)
        parts += [f"## {table.heading}", body]
    for heading, lines in (("Sources", page.sources), ("Notes", page.notes)):
        if lines:
            parts += [f"## {heading}", _list(lines)]
    if page.setups:
        parts += ["## How it was measured", *(_list(lines) for lines in page.setups)]
        parts.append("A spread is half the 95 % interval of the median; (3 x 40) means 3 processes of 40 samples each.")
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, in a table too."""
    marked = _MEANING.sub(lambda found: f"\\{found.group()}", clean(text))
    return re.sub("[&<>]", lambda found: _ENTITIES[found.group()], marked)


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)
