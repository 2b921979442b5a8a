"""``bench list`` and ``bench show``: the papers, and the facts of one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import Command
from claimbench.bench.cli.help import WHAT
from claimbench.bench.cli.options import RESULTS, Json, Results, complete_papers, examples, flag
from claimbench.bench.core.terminal import console, print_json, table

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper


def register(app: typer.Typer) -> None:
    """Add the commands."""
    listing = examples("bench list", "bench list van", "bench list --check")
    app.command("list", cls=Command, epilog=listing)(list_papers)
    app.command("show", cls=Command, epilog=examples("bench show overlock", "bench show overlock --json"))(show)


def list_papers(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="PAPER", help="Name these papers' variants.", autocompletion=complete_papers),
    ] = None,
    check: Annotated[bool, flag("--check", WHAT, "Validate every paper.yaml in full.")] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """List the papers, a line each with what the stored records say; or the variants of some papers."""
    from claimbench.bench.cli.listing import print_list

    print_list(names=tuple(names or ()), results=results, json=json, check=check)


def show(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="The paper's id.", autocompletion=complete_papers)],
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Show what a paper reports, where it says so, and which claims can be tested."""
    from claimbench.bench.papers import registry

    found = registry.paper(paper)
    if json:
        print_json(found)
        return
    _print_card(found, results)
    _print_paper(found)


def _print_card(paper: Paper, results: Path) -> None:
    """Print the card of what is stored of a paper; nothing if nothing is."""
    if not (results / "records").is_dir():
        return
    from claimbench.bench.cli.report import print_card
    from claimbench.bench.report.report import stored_report
    from claimbench.bench.store.store import Store

    found = stored_report(Store(results), paper)
    if found is not None:
        print_card(found, results)
        console().print()


def _print_paper(paper: Paper) -> None:
    from rich.markup import escape
    from rich.text import Text

    out = console()
    out.print(f"[bold]{escape(paper.title)}[/] ({escape(paper.id)})")
    where = [paper.venue, paper.arxiv and f"arXiv:{paper.arxiv}", paper.official and f"code: {paper.official.repo}"]
    out.print(escape(", ".join(text for text in where if text)))
    out.print("Forms: " + escape("; ".join(f"{f.name}{'*' if f.default else ''} ({f.note})" for f in paper.forms)))
    weights = ', weights="official"' if paper.variants[0].checkpoint else ""
    out.print(escape(f'In Python: claimbench.create_model("{paper.variants[0].name}"{weights})  (docs/library.md)'))
    rows: list[tuple[str | Text, ...]] = []
    models = [(v.name, v.reported) for v in paper.models]
    models += [(network.name, network.reported) for network in paper.unbuilt]
    models += [(b.model, b.reported) for b in paper.baselines]
    for name, reported in models:
        rows.append((Text(name, style="bold"), "", "", ""))
        in_tables = {figure for table in paper.tables for figure in table.reported(name)}
        for figure in reported:
            if figure in in_tables:
                continue
            value = f"{'about ' if figure.approximate else ''}{figure.value}" if figure.value else "not reported"
            rows.append((f"  {figure.metric}", value, figure.form, figure.source))
    out.print(table(("Model", "Reported", "Form", "Source"), rows, out.width))
    for each in paper.tables:
        out.print(f"[bold]{escape(each.title)}[/] [dim]({escape(each.source)})[/]")
        figures = zip(each.rows, *each.columns.values(), strict=True)
        lines = [(row, *(value or "not reported" for value in values)) for row, *values in figures]
        out.print(table(("", *each.columns), lines, out.width, right=tuple(each.columns)))
    for network in paper.unbuilt:
        out.print(f"[bold]Not built[/] {escape(network.name)}: {escape(network.why)}")
    for claim in paper.claims:
        test = f"tested by {claim.experiment}" if claim.experiment else f"not tested: {claim.needs}"
        out.print(f"[bold]Claim[/] {escape(claim.text)} [dim]({escape(claim.source)}; {escape(test)})[/]")
    if paper.study is not None:
        compared = f"{paper.study.block} against {paper.study.counterpart}, on {paper.study.dataset}"
        out.print(f"[bold]Study[/] {escape(compared)} [dim]({escape(paper.study.source)})[/]")
    for deviation in paper.deviations:
        out.print(f"[bold]Deviation[/] {escape(deviation.text)} [dim]({escape(deviation.source)})[/]")
    if paper.downstream:
        out.print(f"{len(paper.downstream)} figures on other tasks: `bench show {paper.id} --json`")
