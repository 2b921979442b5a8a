"""The parts that commands share: options that take several values, output as JSON, the folder of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from claimbench.bench.core.errors import unknown
from claimbench.bench.core.terminal import RESULTS as RESULTS
from claimbench.bench.core.text import split

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from claimbench.bench.store.store import Store

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Results = Annotated[Path, typer.Option("--results", envvar="BENCH_RESULTS", help="Folder of records and tables.")]


T = TypeVar("T", bound="DataclassInstance")


def filled(cls: type[T], arguments: Mapping[str, Any]) -> T:
    """Return the request of a command: a frozen class whose fields are named as the command's parameters.

    A parameter that was not given (None) leaves its field at the default; a list becomes a tuple.
    """
    given = {field.name: arguments.get(field.name) for field in fields(cls)}
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None})


class SeveralValues(TyperCommand):
    """A command whose list options take several values at once: ``--variant a b`` is ``--variant a --variant b``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat a list option's name before each of its further values; positional arguments stand before options."""
        several = {
            name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts
        }
        written: list[str] = []
        current, values = "", 0
        for argument in args:
            if argument.startswith("-") and argument != "-":
                current, _, value = argument.partition("=")
                values = 1 if value else 0
            elif current in several:
                written += [current] if values else []
                values += 1
            written.append(argument)
        return list(super().parse_args(ctx, written))


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
