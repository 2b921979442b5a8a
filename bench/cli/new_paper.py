"""``bench new-paper``: the skeleton of a paper that lives outside this repository."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from claimbench.bench.cli.command import Command
from claimbench.bench.cli.help import WHAT
from claimbench.bench.cli.options import Json, examples, value
from claimbench.bench.core.terminal import print_json

EXAMPLES = examples("bench new-paper ~/my-paper", "bench new-paper work/code --id my_paper")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new-paper", cls=Command, epilog=EXAMPLES)(new_paper)


def new_paper(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
    paper: Annotated[
        str, value("--id", takes="ID", panel=WHAT, help="The paper's id; by default the folder's name.")
    ] = "",
    json: Json = False,
) -> None:
    """Write a small paper of your own that runs at once: facts, model, weights, a claim, and a package around them."""
    from claimbench.bench.papers.skeleton import write

    name = write(folder, paper)
    if json:
        print_json({"id": name, "folder": str(folder.resolve())})
        return
    typer.echo(f"wrote the paper {name} to {folder}; its README.md lists the parts to fill in. Try it:")
    typer.echo(f"    export BENCH_PAPERS={shlex.quote(str(folder.resolve()))}")
    typer.echo(f"    bench show {name}")
    typer.echo(f"    bench run {name} --quick")
