"""A table for the terminal, with colours if it has any; no meaning is in the colour alone."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from claimbench.bench.core.terminal import shares, table
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
from claimbench.bench.report.view import EVERYTHING, View

COLOURS = {
    "explained": "cyan",
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
    "failed": "bold red",
}
"""The colour of each verdict."""


COLUMNS = (("Metric", 16, 3), ("Conditions", 14, 4), ("Reported", 11, 1), ("Measured", 14, 4), ("Verdict", 15, 0))
"""Title, least width, and share of the remaining width of each column but the last, "Why"."""

GAP = 2
WHY = 22
"""Columns of space between columns, and the least width of the last."""

NARROW = 96
"""On a terminal with fewer columns their widths follow the longest words instead."""

STACKED = 74
"""On a terminal with fewer columns the conditions and the reason of a row stand below it."""

STACKED_WIDTHS = {"Metric": 14, "Reported": 10, "Measured": 13, "Verdict": 15}
"""The widths of the columns there: 60 with the space between them."""

SHORT = 60
"""Notes with more characters stand beneath the table, once."""


def render(reports: Sequence[Report], width: int = 110, all: bool = True) -> str:
    """Return reports with everything in them, as they look on a terminal of ``width`` columns without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for number, report in enumerate(reports):
        if number:
            console.print()
        console.print(renderable(report, width))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def renderable(report: Report, width: int, view: View = EVERYTHING) -> RenderableType:
    """Return what a view shows of a report, for a ``rich`` console of ``width`` columns; markup in texts means nothing.

    Args:
        report: the whole report.
        width: of the console.
        view: the rows that are shown; with ``methods`` the sources, the notes in full and the circumstances too.
    """
    sources, notes = Notes(), Notes("letter")
    shown = view.of(report)
    shown, unmeasured = _measured(shown) if not view.all and not view.narrows else (shown, "")
    parts: list[RenderableType] = [Text(f"{clean(report.title)} ({clean(report.paper)})", style="bold")]
    parts += _rows(shown, sources, notes, width, view.methods)
    left = len(report.rows) - len(shown.rows)
    parts.append(Text(f"\n{summary(shown)}" + (f"; {left} more rows: --all" if left and not view.all else "")))
    if unmeasured:
        parts.append(Text(f"Reported and not measured: {unmeasured}", style="dim"))
    if shown.pairs:
        parts += [
            Text("\nSpeed, side by side", style="bold"),
            _table(PAIR_TITLES, [pair_cells(p) for p in shown.pairs], width),
        ]
    if not view.methods:
        return Group(*parts)
    if report.claims:
        parts += [Text("\nClaims", style="bold"), _table(CLAIM_TITLES, claim_cells(report), width)]
    if sources.texts:
        parts += [Text("\nReported in", style="bold"), _lines(sources.lines())]
    if notes.texts:
        parts += [Text("\nNotes", style="bold"), _lines(notes.lines())]
    for setup in report.setups:
        parts += [Text("\nHow it was measured", style="bold"), _lines(setup_lines(setup))]
    return Group(*parts)


def _measured(report: Report) -> tuple[Report, str]:
    """Return the report on subjects of which anything was measured, and the others with their numbers of figures."""
    known = {row.subject for row in report.rows if row.value is not None}
    others = [clean(row.subject) for row in report.rows if row.subject not in known]
    listed = ", ".join(f"{subject} ({others.count(subject)})" for subject in dict.fromkeys(others))
    return replace(report, rows=tuple(row for row in report.rows if row.subject in known)), listed


def _rows(report: Report, sources: Notes, notes: Notes, width: int, methods: bool) -> Iterator[RenderableType]:
    """Yield a heading and a table for each subject; their columns line up. Without ``methods`` a row has one reason."""
    lines = [(Line.of(row), row) for row in report.rows]
    left = max(0, width - WHY - sum(least + GAP for _, least, _ in COLUMNS))
    wide = [least + left * share // 24 for _, least, share in COLUMNS]
    if width < NARROW:
        titles = tuple(title for title, *_ in COLUMNS)
        texts = [(line.metric, line.conditions, line.reported, line.measured, line.verdict) for line, _ in lines]
        why = " ".join(["x" * (WHY // 2)] * 3)
        wide = shares([(*titles, why), *((*cells, "") for cells in texts)], width - GAP, GAP)[:-1]
    stacked = width < STACKED
    for number, (subject, group) in enumerate(groupby(lines, key=lambda entry: entry[0].subject)):
        yield Text(f"\n{subject}", style="bold cyan")
        found = _columns(wide, number == 0, stacked)
        for line, row in group:
            source = sources.mark(row.source) if methods else ""
            reported = f"{line.reported} [{source}]" if source else line.reported
            verdict = Text(line.verdict, style=COLOURS.get(row.degree, COLOURS[row.verdict]))
            if methods:
                why = "; ".join(text if len(text) <= SHORT else f"[{notes.mark(text)}]" for text in line.why)
            else:
                why = textwrap.shorten(line.why[0], SHORT, placeholder=" …") if line.why else ""
            if not stacked:
                cells = (line.metric, line.conditions, reported, line.measured)
                found.add_row(*map(Text, cells), verdict, Text(why, style="dim"))
                continue
            found.add_row(Text(line.metric), Text(reported), Text(line.measured), verdict)
            yield found
            if said := "; ".join(filter(None, (line.conditions, why))):
                yield Padding(Text(said, style="dim"), (0, 0, 0, 2))
            found = _columns(wide, False, stacked)
        if not stacked:
            yield found


def _columns(wide: Sequence[int], header: bool, stacked: bool) -> Table:
    """Return a table of rows without a row; a stacked one has no columns for the conditions and the reason."""
    found = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold underline", show_header=header)
    for (title, *_), space in zip(COLUMNS, wide, strict=True):
        if not stacked:
            found.add_column(title, width=space, overflow="fold")
        elif title in STACKED_WIDTHS:
            found.add_column(title, width=STACKED_WIDTHS[title], overflow="fold")
    if not stacked:
        found.add_column("Why", overflow="fold")
    return found


def _table(titles: tuple[str, ...], cells: list[tuple[str, ...]], width: int) -> Table:
    verdict = titles.index("Verdict")
    rows = [[Text(c, style=COLOURS.get(c, "") if i == verdict else "") for i, c in enumerate(row)] for row in cells]
    return table(titles, rows, width)


def _lines(lines: list[str]) -> Padding:
    return Padding(Group(*map(Text, lines)), (0, 0, 0, 2))
