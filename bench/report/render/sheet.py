"""The common layout of Markdown and LaTeX: compact tables with sources and notes beneath, by number and by letter."""

from __future__ import annotations

from dataclasses import dataclass

from claimbench.bench.report.render import (
    CLAIM_TITLES,
    PAIR_TITLES,
    Line,
    Notes,
    claim_cells,
    pair_cells,
    setup_lines,
    summary,
)
from claimbench.bench.report.report import Report

TITLES = ("Model", "Metric", "Conditions", "Reported", "Measured", "Verdict")


@dataclass(frozen=True)
class Table:
    """A table: a heading, titles, cells."""

    heading: str
    titles: tuple[str, ...]
    cells: list[tuple[str, ...]]


@dataclass(frozen=True)
class Sheet:
    """A report as tables, then lines of sources, notes and the circumstances of the measurements."""

    title: str
    summary: str
    tables: list[Table]
    sources: list[str]
    notes: list[str]
    setups: list[list[str]]


def sheet(report: Report) -> Sheet:
    """Return a report as tables and lines; nothing is escaped yet."""
    sources, notes = Notes(), Notes("letter")
    cells: list[tuple[str, ...]] = []
    for row in report.rows:
        line = Line.of(row)
        source = sources.mark(row.source)
        marks = [f"[{notes.mark(text)}]" for text in line.why]
        reported = f"{line.reported} [{source}]" if source else line.reported
        verdict = " ".join([line.verdict, *marks])
        cells.append((line.subject, line.metric, line.conditions, reported, line.measured, verdict))
    tables = [Table("Reported and measured", TITLES, cells)]
    if report.pairs:
        tables.append(Table("Speed, side by side", PAIR_TITLES, [pair_cells(pair) for pair in report.pairs]))
    if report.claims:
        tables.append(Table("Claims", CLAIM_TITLES, claim_cells(report)))
    return Sheet(
        title=f"{report.title} ({report.paper})",
        summary=summary(report),
        tables=tables,
        sources=sources.lines(),
        notes=notes.lines(),
        setups=[setup_lines(setup) for setup in report.setups],
    )
