"""``bench explain``: the convention of counting behind a printed figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import HOW, OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Json,
    Results,
    complete_papers,
    complete_variants,
    examples,
    flag,
    number,
    value,
)
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import console, print_json

EXAMPLES = examples(
    "bench explain rmt --variant rmt_s",
    "bench explain --model official.py:build --input 3x224x224 --reported 4.5G",
    "bench explain --model timm:convnext_tiny --reported 4.5G --params 29M",
    status="0 counted, 1 a model could not be counted, 2 bad input",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain", cls=SeveralValues, epilog=EXAMPLES)(explain)


def explain(
    paper: Annotated[
        str, typer.Argument(metavar="PAPER", help="The paper's id, or all.", autocompletion=complete_papers)
    ] = "",
    variant: Annotated[
        list[str] | None,
        value(
            "--variant",
            takes="NAME",
            panel=WHAT,
            help="Its variants, networks or baselines, separated by commas, or all; else all variants.",
            complete=complete_variants,
        ),
    ] = None,
    model: Annotated[
        str,
        value("--model", takes="MODEL", panel=WHAT, help="A model of your own, FILE.py:FACTORY, or timm:NAME."),
    ] = "",
    input: Annotated[
        str, value("--input", takes="SIZE", panel=WHAT, help="Shape of one sample for --model, such as 3x224x224.")
    ] = "",
    reported: Annotated[
        str, value("--reported", takes="N", panel=WHAT, help="The printed FLOPs of --model, such as 4.5G.")
    ] = "",
    params: Annotated[
        str, value("--params", takes="N", panel=WHAT, help="The printed parameters of --model, such as 27M.")
    ] = "",
    budget: Annotated[
        float,
        value("--budget", takes="SECONDS", panel=HOW, help="For each counter; 60 by default.", read=number(1, 86400)),
    ] = 60.0,
    store: Annotated[bool, flag("--store", OUTPUT, "Keep a paper's counts below RESULTS/explained.")] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Count by every convention in use, and list those that give the printed FLOPs, the simplest first."""
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.machine.process import Interrupted, Stop
    from claimbench.bench.measure.counters.catalogue import require
    from claimbench.bench.run.explain import counting, request

    if bool(paper) == bool(model):
        raise UserError("say what to explain: a paper's id, or a model with --model")
    if model and (variant or store):
        raise UserError("--variant and --store are for papers, not for --model")
    if paper and (input or reported or params):
        raise UserError("--input, --reported and --params are for --model: a paper's are in its paper.yaml")
    require()
    with Stop() as stop, shown() as listener:
        try:
            if model:
                found = [counting.only(request.of_own(model, input, reported, params), stop, listener, budget)]
            else:
                wanted = request.of_papers(paper, variant or ())
                found = list(counting.explained(wanted, stop, listener, budget, results if store else None))
        except Interrupted:
            typer.echo(f"bench: interrupted{'; what was counted is stored' if store else ''}", err=True)
            raise typer.Exit(130) from None
    if json:
        print_json([one.to_json() for one in found])
    else:
        from claimbench.bench.report.render.explained import renderable

        console().print(renderable(found, details=len(found) == 1))
    raise typer.Exit(1 if any(one.problem for one in found) else 0)
