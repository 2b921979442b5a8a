"""``bench export``: all stored and reported figures as one table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    named,
    stored_run,
    value,
)
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import print_json

EXAMPLES = examples(
    "bench export --out figures.csv",
    "bench export overlock van --out figures.parquet",
    "bench export --run latest --json",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", cls=SeveralValues, epilog=EXAMPLES)(export)


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="PAPER", help="Papers by id; else all.", autocompletion=complete_papers),
    ] = None,
    paper: Papers = None,
    out: Annotated[
        Path | None,
        value("--out", takes="FILE", panel=OUTPUT, help="A .csv, .json or .parquet file; else CSV on stdout."),
    ] = None,
    run: Annotated[
        str, value("--run", takes="RUN", panel=WHAT, help="One run, or latest; else each row's newest.")
    ] = "",
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Write every reported and measured figure of papers as one tidy table, a line a figure; nothing is measured."""
    from claimbench.bench.papers import registry
    from claimbench.bench.report.export import exported
    from claimbench.bench.report.render import tidy
    from claimbench.bench.report.report import report, stored_report
    from claimbench.bench.store.jsonl import write_whole
    from claimbench.bench.store.store import Store

    if out is not None:
        if json:
            raise UserError("--json prints to stdout: leave out --out, or name a .json file there")
        tidy.check(out)
    store = Store(results)
    if not store.runs():
        raise UserError(f"no records are stored under {results}: measure with `bench run` first, or name --results")
    meant = stored_run(store, run)
    papers = [registry.paper(name) for name in chosen_papers(named(names, paper))]
    found = [(p, stored_report(store, p, run=meant)) for p in papers]
    reports = [known or report(p, []) for p, known in found if known is not None or meant is None]
    rows = exported(reports)
    if json:
        print_json(tidy.plain(rows))
    elif out is None:
        typer.echo(tidy.content(rows, ".csv").decode(), nl=False)
    else:
        write_whole(out, tidy.content(rows, out.suffix))
        typer.echo(f"{len(rows)} rows in {out}", err=True)
    for problem in store.problems:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)
