"""The command line: the list of commands. Their code is elsewhere and is loaded when it is needed."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from claimbench.bench.cli import (
    compare,
    doctor,
    explain,
    export,
    kernels,
    leaderboard,
    new_paper,
    nightly,
    papers,
    regress,
    results,
    run,
    study,
    submit,
    train,
    verify,
    weights,
)
from claimbench.bench.cli.command import CommandGroup
from claimbench.bench.core.errors import DEBUG

EPILOG = (
    "Exit status: 0 all is well; 1 something that was measured or checked failed; 2 bad input; 130 interrupted. "
    "`--debug`, anywhere, or BENCH_DEBUG=1 shows tracebacks and what measured code prints."
)
START = """Do a vision or attention paper's numbers hold today? Start with:

  bench list                   the papers
  bench show overlock          what one of them reports
  bench run overlock --quick   measure it here, in a few minutes
  bench compare overlock       what was measured, again, with all filters
  bench doctor                 what works on this machine

`bench --help` lists all commands, `bench run --help` what a run can do."""

app = typer.Typer(
    name="bench",
    cls=CommandGroup,
    help="Do a vision or attention paper's numbers hold today? Measures, and compares with what was reported.",
    epilog=EPILOG,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
papers.register(app)
new_paper.register(app)
weights.register(app)
run.register(app)
verify.register(app)
compare.register(app)
explain.register(app)
export.register(app)
study.register(app)
train.register(app)
kernels.register(app)
leaderboard.register(app)
regress.register(app)
nightly.register(app)
submit.register(app)
results.register(app)
doctor.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"claimbench {version('claimbench')}")
        except PackageNotFoundError:
            typer.echo("claimbench, not installed")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and what measured code prints.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keep what all commands share; without a command, say what to type first."""
    if debug:
        os.environ[DEBUG] = "1"
    if ctx.invoked_subcommand is None:
        typer.echo(START)
