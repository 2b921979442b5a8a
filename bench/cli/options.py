"""The parts that commands share: options, examples, and the completion of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from claimbench.bench.cli.help import HOW, OUTPUT, WHAT
from claimbench.bench.core.errors import unknown
from claimbench.bench.core.terminal import RESULTS as RESULTS
from claimbench.bench.core.text import split

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from claimbench.bench.store.store import Store

T = TypeVar("T", bound="DataclassInstance")


def filled(cls: type[T], arguments: Mapping[str, Any]) -> T:
    """Return the request of a command: a frozen class whose fields are named as the command's parameters.

    A parameter that was not given (None) leaves its field at the default; a list becomes a tuple.
    """
    given = {field.name: arguments.get(field.name) for field in fields(cls)}
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None})


def flag(name: str, panel: str, help: str) -> Any:
    """Return an option without a value, in a panel of the help page."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def value(
    *names: str,
    takes: str,
    panel: str,
    help: str,
    complete: Callable[..., list[str]] | None = None,
    read: Callable[[str], Any] | None = None,
    envvar: str | None = None,
) -> Any:
    """Return an option with a value.

    Args:
        names: of the option, with their dashes.
        takes: the word for the value: "FILE".
        panel: of the help page.
        help: its sentence there.
        complete: returns the values that begin with a text.
        read: returns the value of a text.
        envvar: the environment variable that gives the value too.
    """
    return typer.Option(
        *names,
        metavar=takes,
        help=help,
        rich_help_panel=panel,
        autocompletion=complete,
        parser=read,
        envvar=envvar,
    )


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return the reader of an option's whole number, which refuses one outside of a range."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", str(text)) or not least <= int(text) <= most:
            raise typer.BadParameter(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """Return the reader of an option's number, which refuses one outside of a range, infinity and NaN."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= float(text) <= most:
                return float(text)
        raise typer.BadParameter(f"{text!r} is not a number from {least:g} to {most:g}")

    return read


def examples(*commands: str, status: str = "") -> str:
    """Return the end of a help page: examples, a line each, and what the exit status means."""
    lines = ["Examples:", *(f"  {command}" for command in commands)]
    return "\n".join(lines + (["", f"Exit status: {status}."] if status else []))


def named(positional: Sequence[str] | None, option: Sequence[str] | None) -> tuple[str, ...]:
    """Return the papers that were named, as arguments or behind ``--paper``, also several in one with commas."""
    return split([*(positional or ()), *(option or ())])


def chosen_papers(asked: Sequence[str]) -> list[str]:
    """Return the papers that are asked for by name; all that can be read for none, or for ``all``."""
    from claimbench.bench.papers import registry

    if asked and "all" not in asked:
        return list(asked)
    return [name for name, entry in registry.entries().items() if not entry.problem]


def stored_run(store: Store, run: str) -> str | None:
    """Return the run that is meant, by its id or as ``latest``; None for all of them.

    Raises:
        UserError: no such run is stored.
    """
    if not run:
        return None
    runs = store.runs()
    if run != "latest" and run not in runs:
        raise unknown("run", run, runs)
    return runs[-1] if run == "latest" else run


def complete_papers(incomplete: str) -> list[str]:
    """Return the papers that begin with the typed text, for shell completion."""
    from claimbench.bench.papers import registry

    return [name for name in (*registry.entries(), "all") if name.startswith(incomplete)]


def complete_variants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the variants that begin with the typed text, of the papers named before."""
    from claimbench.bench.papers import registry

    named = ctx.params.get("papers") or ctx.params.get("paper") or list(registry.entries())
    named = [named] if isinstance(named, str) else named
    found = [variant for name in named if name in registry.entries() for variant in registry.entry(name).variants]
    return [name for name in found if name.startswith(incomplete)]


def complete_datasets(incomplete: str) -> list[str]:
    """Return the data sets that begin with the typed text."""
    from claimbench.bench import tasks

    names = dict.fromkeys(name for task in tasks.known().values() for name in task.datasets)
    return [name for name in names if name.startswith(incomplete)]


def complete_tasks(incomplete: str) -> list[str]:
    """Return the tasks that begin with the typed text."""
    from claimbench.bench import tasks

    return [name for name in tasks.known() if name.startswith(incomplete)]


def complete_metrics(incomplete: str) -> list[str]:
    """Return the metrics that begin with the typed text after its last comma."""
    from claimbench.bench.measure import METRICS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in METRICS if name.startswith(last)]


Json = Annotated[bool, flag("--json", OUTPUT, "Print JSON for machines instead of text.")]
JsonFile = Annotated[
    str, value("--json", takes="FILE", panel=OUTPUT, help="Write the results as JSON to a file, or to stdout with -.")
]
Results = Annotated[
    Path,
    value(
        "--results",
        takes="FOLDER",
        panel=OUTPUT,
        help="Folder of records and tables; BENCH_RESULTS is another way to name it.",
        envvar="BENCH_RESULTS",
    ),
]
NoStore = Annotated[bool, flag("--no-store", OUTPUT, "Keep nothing on the disk.")]
Named = Annotated[
    list[str] | None, typer.Argument(metavar="PAPER", help="Papers by id, or all.", autocompletion=complete_papers)
]
Papers = Annotated[
    list[str] | None,
    value("--paper", takes="PAPER", panel=WHAT, help="The same as an option.", complete=complete_papers),
]
Device = Annotated[str, value("--device", takes="DEVICE", panel=HOW, help="auto, cpu, cuda or cuda:INDEX.")]
Threads = Annotated[
    int | None,
    value("--threads", takes="N", panel=HOW, help="CPU threads; else torch's choice.", read=whole(1, 1024)),
]
