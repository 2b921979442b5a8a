"""A table for the terminal, with colours if it has any; no meaning is in the colour alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from claimbench.bench.report.render import (
    CLAIM_TITLES,
    PAIR_TITLES,
    Line,
    Notes,
    claim_cells,
    clean,
    pair_cells,
    setup_lines,
    summary,
)
from claimbench.bench.report.report import Report

COLOURS = {
    "exact": "green",
    "within rounding": "green",
    "within interval": "green",
    "better": "bold green",
    "differs": "bold red",
    "not comparable": "yellow",
    "not measured": "magenta",
    "not reported": "dim",
    "same": "cyan",
    "faster": "green",
    "slower": "red",
    "ambiguous": "yellow",
    "holds": "green",
    "fails": "red",
    "partly": "yellow",
    "not tested": "magenta",
}
"""The colour of each verdict."""


COLUMNS = (("Metric", 16, 3), ("Conditions", 14, 4), ("Reported", 11, 1), ("Measured", 14, 4), ("Verdict", 15, 0))
"""Title, least width, and share of the remaining width of each column but the last, "Why"."""

GAP = 2
WHY = 22
"""Columns of space between columns, and the least width of the last."""

SHORT = 60
"""Notes with more characters stand beneath the table, once."""


def render(report: Report, width: int = 110) -> str:
    """Return a report as it looks on a terminal of ``width`` columns, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(renderable(report, width))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def renderable(report: Report, width: int) -> RenderableType:
    """Return a report for a ``rich`` console of ``width`` columns: plain text, in which markup means nothing."""
    sources, notes = Notes(), Notes("letter")
    parts: list[RenderableType] = [Text(f"{clean(report.title)} ({clean(report.paper)})", style="bold")]
    parts += _rows(report, sources, notes, width)
    parts.append(Text(f"\n{summary(report)}"))
    if report.pairs:
        parts += [
            Text("\nSpeed, side by side", style="bold"),
            _table(PAIR_TITLES, [pair_cells(p) for p in report.pairs]),
        ]
    if report.claims:
        parts += [Text("\nClaims", style="bold"), _table(CLAIM_TITLES, claim_cells(report))]
    if sources.texts:
        parts += [Text("\nReported in", style="bold"), _lines(sources.lines())]
    if notes.texts:
        parts += [Text("\nNotes", style="bold"), _lines(notes.lines())]
    for setup in report.setups:
        parts += [Text("\nHow it was measured", style="bold"), _lines(setup_lines(setup))]
    return Group(*parts)


def _rows(report: Report, sources: Notes, notes: Notes, width: int) -> Iterator[RenderableType]:
    """Yield a heading and a table for each subject; their columns line up."""
    left = max(0, width - WHY - sum(least + GAP for _, least, _ in COLUMNS))
    lines = [(Line.of(row), row) for row in report.rows]
    for number, (subject, group) in enumerate(groupby(lines, key=lambda entry: entry[0].subject)):
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold underline", show_header=number == 0)
        for title, least, share in COLUMNS:
            table.add_column(title, width=least + left * share // 24, overflow="fold")
        table.add_column("Why", overflow="fold")
        for line, row in group:
            source = sources.mark(row.source)
            reported = f"{line.reported} [{source}]" if source else line.reported
            cells = (line.metric, line.conditions, reported, line.measured)
            verdict = Text(line.verdict, style=COLOURS[row.verdict])
            why = "; ".join(text if len(text) <= SHORT else f"[{notes.mark(text)}]" for text in line.why)
            table.add_row(*map(Text, cells), verdict, Text(why, style="dim"))
        yield Text(f"\n{subject}", style="bold cyan")
        yield table


def _table(titles: tuple[str, ...], cells: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold underline")
    verdict = titles.index("Verdict")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in cells:
        table.add_row(*(Text(c, style=COLOURS.get(c, "") if i == verdict else "") for i, c in enumerate(row)))
    return table


def _lines(lines: list[str]) -> Padding:
    return Padding(Group(*map(Text, lines)), (0, 0, 0, 2))
