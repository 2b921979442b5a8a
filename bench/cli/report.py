"""Reports on the terminal: the table that was asked for, then the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from claimbench.bench.core.terminal import columns, console, shows_unicode
from claimbench.bench.report.card import card
from claimbench.bench.report.render.card import lines
from claimbench.bench.report.render.terminal import renderable
from claimbench.bench.report.report import Report
from claimbench.bench.report.view import View


def print_reports(
    reports: Sequence[Report], view: View, results: Path | None, studies: Mapping[str, str] | None = None
) -> None:
    """Print each report: its rows, then its card unless only some rows were asked for.

    Args:
        reports: of one paper each.
        view: the rows that are shown.
        results: the folder of the records, if they are stored.
        studies: a sentence on each paper's small-scale study.
    """
    for number, report in enumerate(reports):
        if number:
            console().rule()
        print_rows(report, view)
        if not view.narrows:
            console().print(Text())
            print_card(report, results, (studies or {}).get(report.paper, ""))


def print_rows(report: Report, view: View) -> None:
    """Print the rows of a report that are asked for."""
    console().print(renderable(report, columns(), view))


def print_card(report: Report, results: Path | None, study: str = "") -> None:
    """Print a report's card, with its study, where its records are and how to see more."""
    more = [study] if study else []
    more += [f"all rows: bench compare {report.paper} --all; sources and methods: --methods"]
    if results is not None:
        devices = sorted({setup.device for setup in report.setups})
        more.insert(-1, f"records: {results / 'records'}" + (f" of {', '.join(devices)}" if devices else ""))
    out = console()
    for line in lines(card(report), out.width, unicode=shows_unicode(), more=more):
        out.print(line, no_wrap=True, overflow="ignore", crop=False)
