"""``bench compare``: stored records against reported figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.options import RESULTS, Json, Results, SeveralValues, complete_papers
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.terminal import console
from claimbench.bench.store import counted, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claimbench.bench.report.report import Report
    from claimbench.bench.store.store import Store
    from claimbench.bench.training.study.summary import Summary

FORMATS = {"table": "terminal", "markdown": "markdown", "csv": "csv", "latex": "latex", "json": "json"}
EXAMPLES = (
    "Examples: `bench compare --paper overlock` · `bench compare --run latest --format markdown --output table.md` · "
    "`bench compare --tables`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", cls=SeveralValues, epilog=EXAMPLES)(compare)


def compare(
    paper: Annotated[
        list[str] | None,
        typer.Option(help="Papers by id; else all that were measured.", autocompletion=complete_papers),
    ] = None,
    run: Annotated[str, typer.Option(help="One run, or latest; else the newest figure of each row.")] = "",
    format: Annotated[str, typer.Option(help="table, markdown, csv, latex or json.")] = "table",
    output: Annotated[Path | None, typer.Option(help="Write to a file instead of stdout.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Write the tables under RESULTS/tables anew.")] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Compare what was measured and stored with what the papers report; nothing is measured."""
    from claimbench.bench.core.text import split
    from claimbench.bench.papers import registry
    from claimbench.bench.store.store import Store

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    store = Store(results)
    studies = _studies(results, split(paper or ()), run)
    if not store.runs() and not studies:
        raise UserError(f"no records are stored under {results}: measure with `bench run` first, or name --results")
    asked = split(paper or ())
    known = [name for name, entry in registry.entries().items() if not entry.problem]
    names = known if not asked or "all" in asked else asked
    if tables:
        from claimbench.bench.report.tables import write_tables

        for path in write_tables(store, [registry.paper(name) for name in names], results / "tables"):
            typer.echo(path)
        return
    reports = [_report(store, name, _run(store, run)) for name in names]
    _emit([report for report in reports if report is not None], studies, "json" if json else FORMATS[format], output)
    for problem in store.problems:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)


def _studies(results: Path, papers: Sequence[str], run: str) -> list[Summary]:
    """Return the small-scale studies of the papers, or of all; they are no part of any run of `bench run`."""
    if run:
        return []
    from claimbench.bench.training.study.session import store
    from claimbench.bench.training.study.summary import summaries

    studies = store(results)
    found = summaries(studies, papers=None if not papers or "all" in papers else papers)
    for problem in studies.problems:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)
    return found


def _run(store: Store, run: str) -> str | None:
    """Return the run that is meant; None for all of them."""
    if not run:
        return None
    runs = store.runs()
    if run != "latest" and run not in runs:
        raise unknown("run", run, runs)
    return runs[-1] if run == "latest" else run


def _report(store: Store, name: str, run: str | None) -> Report | None:
    """Return the report on one paper; None if nothing of it was measured."""
    from claimbench.bench.papers import registry
    from claimbench.bench.report.report import paper_records, report

    paper = registry.paper(name)
    records = paper_records(store, paper, run=run)
    if not records:
        return None
    claims = outcomes.stored(store.root, name, run)
    counts = counted.stored(store.root, name)
    return report(paper, records, samples=store.samples, environment=store.environment, claims=claims, counted=counts)


def _emit(reports: list[Report], studies: list[Summary], format: str, output: Path | None) -> None:
    """Print the reports, or write them to a file; studies are a section of their own, on a terminal and as a page."""
    from claimbench.bench.report import study as study_report
    from claimbench.bench.report.study import study_of

    shown = studies if format in ("terminal", "markdown") else []
    if not reports and not shown:
        raise UserError("nothing of that is stored: `bench compare` without --paper shows what is")
    if format == "terminal" and output is None:
        from claimbench.bench.report.render.terminal import renderable

        out = console()
        for report in reports:
            out.print(renderable(report, out.width))
        if shown:
            out.rule("Small-scale studies")
            out.print(study_report.renderable(shown, study_of))
        return
    from claimbench.bench.report.render import render

    texts = [render(report, format) for report in reports]
    if format == "markdown":
        by_device = {device: [s for s in shown if s.device == device] for device in sorted({s.device for s in shown})}
        texts += [study_report.page(found, study_of, device) for device, found in by_device.items()]
    text = _json_list(texts) if format == "json" and len(texts) > 1 else "\n".join(texts)
    if output is None:
        typer.echo(text, nl=False)
        return
    from claimbench.bench.store.jsonl import write_whole

    write_whole(output, text.encode())


def _json_list(texts: list[str]) -> str:
    return "[\n" + ",\n".join(text.rstrip() for text in texts) + "\n]\n"
