"""LaTeX tables for a paper's appendix; they need the package ``booktabs`` and a compiler that reads UTF-8."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import LATEX_ESCAPE_RULES, tabulate

from claimbench.bench.report.render.sheet import Table, sheet
from claimbench.bench.report.report import Report

_ALSO = {
    "[": "{[}",  # behind a line break it would begin an argument
    "]": "{]}",
    "|": r"\textbar{}",
    "\N{PLUS-MINUS SIGN}": r"\ensuremath{\pm}",
    "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}",
}
"""Characters that tabulate does not escape."""


def render(reports: Sequence[Report], width: int = 0) -> str:
    """Return reports as LaTeX: tables, then paragraphs of sources and notes. It stands inside a document."""
    return "\n".join(map(_section, reports))


def _section(report: Report) -> str:
    page = sheet(report)
    parts = [f"\\subsection*{{{escape(page.title)}}}", f"{escape(page.summary)}."]
    for table in page.tables:
        parts += [f"\\paragraph{{{escape(table.heading)}}}", _tabular(table)]
    for heading, lines in (("Sources", page.sources), ("Notes", page.notes), *(("Setup", s) for s in page.setups)):
        if lines:
            parts.append(f"\\paragraph{{{heading}}}\n" + "\\\\\n".join(escape(line) for line in lines))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join((LATEX_ESCAPE_RULES | _ALSO).get(character, character) for character in text)


def _tabular(table: Table) -> str:
    """Return a booktabs table; tabulate escapes the cells but for :data:`_ALSO`, none of which its frame uses."""
    text = tabulate(table.cells, headers=table.titles, tablefmt="latex_booktabs", disable_numparse=True)
    return "".join(_ALSO.get(character, character) for character in text)
