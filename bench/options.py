"""What every command shares: options that take several values, output as JSON, where results lie."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import Console

RESULTS = "results"

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Results = Annotated[Path, typer.Option("--results", envvar="BENCH_RESULTS", help="Folder of records and tables.")]


class SeveralValues(TyperCommand):
    """A command whose list options take several values at once: ``--variant a b`` is ``--variant a --variant b``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat a list option's name before each of its further values; the command has no positional arguments."""
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


def print_json(data: Any) -> None:
    """Print data as JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, default=_plain) + "\n")


def check_output(file: str) -> None:
    """Find out before anything is measured that a JSON file cannot be written.

    Raises:
        UserError: it is a folder, or its folder does not exist.
    """
    from claimbench.bench.errors import UserError

    path = Path(file)
    if file not in ("", "-") and (path.is_dir() or not path.parent.is_dir()):
        raise UserError(f"{file} cannot be written: it is a folder, or its folder does not exist")


def write_json(data: Any, file: str) -> int:
    """Write data as JSON to a file, or to stdout for ``-``; return 1, and say so, where that fails."""
    if file == "-":
        print_json(data)
        return 0
    try:
        Path(file).write_text(json.dumps(data, indent=2, default=_plain) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"bench: {file} cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return 0


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; where there is no terminal it is 140 columns wide, unless COLUMNS says otherwise."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 140
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def complete_papers(incomplete: str) -> list[str]:
    """Return the papers that begin with what was typed, for shell completion."""
    from claimbench.bench import registry

    return [name for name in (*registry.entries(), "all") if name.startswith(incomplete)]


def complete_variants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the variants that begin with what was typed, of the papers named before."""
    from claimbench.bench import registry

    named = ctx.params.get("paper") or list(registry.entries())
    found = [variant for name in named if name in registry.entries() for variant in registry.entry(name).variants]
    return [name for name in found if name.startswith(incomplete)]


def complete_datasets(incomplete: str) -> list[str]:
    """Return the data sets that begin with what was typed."""
    from claimbench.bench import tasks

    names = dict.fromkeys(name for task in tasks.known().values() for name in task.datasets)
    return [name for name in names if name.startswith(incomplete)]


def complete_tasks(incomplete: str) -> list[str]:
    """Return the tasks that begin with what was typed."""
    from claimbench.bench import tasks

    return [name for name in tasks.known() if name.startswith(incomplete)]


def complete_metrics(incomplete: str) -> list[str]:
    """Return the metrics that begin with what was typed, after the last comma."""
    from claimbench.bench.measure import METRICS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in METRICS if name.startswith(last)]
