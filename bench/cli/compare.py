"""``bench compare``: stored records against reported figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Json,
    Papers,
    Results,
    chosen_papers,
    complete_papers,
    examples,
    flag,
    named,
    stored_run,
    value,
)
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.terminal import columns, console, shows_unicode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claimbench.bench.report.report import Report
    from claimbench.bench.report.view import View
    from claimbench.bench.training.study.summary import Summary

FORMATS = {"table": "terminal", "markdown": "markdown", "csv": "csv", "latex": "latex", "json": "json"}
EXAMPLES = examples(
    "bench compare overlock",
    "bench compare overlock --verdict off",
    "bench compare --run latest --output table.md",
    "bench compare --tables",
)
ENDINGS = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json", ".txt": "table"}
"""The format of a file by its ending."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", cls=SeveralValues, epilog=EXAMPLES)(compare)


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAPER", help="Papers by id; else all that were measured.", autocompletion=complete_papers
        ),
    ] = None,
    paper: Papers = None,
    run: Annotated[
        str, value("--run", takes="RUN", panel=WHAT, help="One run, or latest; else each row's newest.")
    ] = "",
    all: Annotated[
        bool, flag("--all", WHAT, "Also rows that no paper reports; in LaTeX all rows, in long tables.")
    ] = False,
    verdict: Annotated[
        list[str] | None,
        value(
            "--verdict",
            takes="NAME",
            panel=WHAT,
            help="Only rows with these: holds, explained, off, open, or a verdict such as differs.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        value(
            "--metric",
            takes="NAME",
            panel=WHAT,
            help="Only these metrics, or kinds: count, time, memory, energy, parity, quality.",
        ),
    ] = None,
    methods: Annotated[bool, flag("--methods", OUTPUT, "Also sources, notes and methods, in full.")] = False,
    format: Annotated[
        str,
        value(
            "--format",
            takes="NAME",
            panel=OUTPUT,
            help="table, markdown, csv, latex or json; else by the ending of --output.",
        ),
    ] = "",
    output: Annotated[
        Path | None, value("--output", takes="FILE", panel=OUTPUT, help="Write to a file instead of stdout.")
    ] = None,
    tables: Annotated[bool, flag("--tables", OUTPUT, "Write the tables under RESULTS/tables anew.")] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Compare what was measured and stored with what the papers report; nothing is measured."""
    from claimbench.bench.core.text import split
    from claimbench.bench.papers import registry
    from claimbench.bench.report.report import stored_report
    from claimbench.bench.report.view import View
    from claimbench.bench.store.store import Store

    form = "json" if json else format or ENDINGS.get(output.suffix if output else "", "table")
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    view = View(all, methods, split(verdict or ()), split(metric or ()))
    view.check()
    asked = named(names, paper)
    store = Store(results)
    studies = _studies(results, asked, run)
    if not store.runs() and not studies:
        raise UserError(f"no records are stored under {results}: measure with `bench run` first, or name --results")
    papers = chosen_papers(asked)
    if tables:
        from claimbench.bench.report.tables import write_tables

        for path in write_tables(store, [registry.paper(name) for name in papers], results / "tables"):
            typer.echo(path)
        return
    meant = stored_run(store, run)
    reports = [r for name in papers if (r := stored_report(store, registry.paper(name), run=meant)) is not None]
    if not asked and FORMATS[form] == "terminal" and output is None and view == View() and len(reports) > 1:
        _print_overview(reports)
    else:
        _emit(reports, studies, FORMATS[form], output, view, results)
    for problem in store.problems:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)


def _print_overview(reports: list[Report]) -> None:
    """Print a line a paper: how many of its figures and claims hold."""
    from claimbench.bench.report.render.card import overview

    for line in overview(reports, columns(), unicode=shows_unicode()):
        console().print(line)


def _studies(results: Path, papers: Sequence[str], run: str) -> list[Summary]:
    """Return the small-scale studies of the papers, or of all; they are no part of any run of `bench run`."""
    if run:
        return []
    from claimbench.bench.training.study.study_run import store
    from claimbench.bench.training.study.summary import summaries

    studies = store(results)
    found = summaries(studies, papers=None if not papers or "all" in papers else papers)
    for problem in studies.problems:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)
    return found


def _emit(
    reports: list[Report], studies: list[Summary], format: str, output: Path | None, view: View, results: Path
) -> None:
    """Print the reports, or write them to a file; studies are a section of their own, on a terminal and as a page."""
    from claimbench.bench.report import study as study_report
    from claimbench.bench.report.study import study_of

    shown = studies if format in ("terminal", "markdown") else []
    if not reports and not shown:
        raise UserError("nothing of that is stored: `bench compare` without a paper shows what is")
    if format == "terminal" and output is None:
        from claimbench.bench.cli.report import print_reports

        if shown and (view.all or not reports):
            console().rule("Small-scale studies")
            console().print(study_report.renderable(shown, study_of))
        print_reports(reports, view, results, study_report.sentences(shown))
        return
    from claimbench.bench.report.render import render_all

    narrowed = [view.of(report) if view.narrows else report for report in reports]
    text = render_all(narrowed, format, all=view.all or view.narrows or view.methods)
    if format == "markdown":
        by_device = {device: [s for s in shown if s.device == device] for device in sorted({s.device for s in shown})}
        pages = [study_report.page(found, study_of, device) for device, found in by_device.items()]
        text = "\n".join([text] * bool(reports) + pages)
    if output is None:
        typer.echo(text, nl=False)
        return
    from claimbench.bench.store.jsonl import write_whole

    write_whole(output, text.encode())
