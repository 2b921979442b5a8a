"""Help pages: the options of a command in panels, each with what it takes, as wide as the terminal."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

WHAT, HOW, DATA, OUTPUT = "What", "How", "Data", "Output"
"""The panels of options: what is measured or shown, how that is done, on which data, and what is written."""

PANELS = (WHAT, HOW, DATA, OUTPUT)
NAMES = 28
"""Columns of names; a longer one has a line to itself."""


def print_help(command: Any, ctx: Any) -> None:
    """Print the help page of a command or of a group of commands."""
    from rich.markup import escape
    from rich.padding import Padding
    from rich.panel import Panel

    out = console()
    out.print(Padding(f"[bold yellow]Usage:[/] [bold]{escape(_usage(command, ctx))}[/]", 1, expand=False))
    out.print(Padding(escape(_paragraphs(command.help)), (0, 1, 1, 1), expand=False))
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        panels.setdefault(_panel(param), []).append((_name(param), _text(param, ctx)))
    for name, one in getattr(command, "commands", {}).items():
        panels.setdefault("Commands", []).append((name, _paragraphs(one.help).partition("\n")[0]))
    for title in ("Arguments", "Commands", *PANELS, "Options"):
        if title in panels:
            out.print(Panel(_table(panels[title], out.width), title=title, title_align="left", border_style="dim"))
    if command.epilog:
        out.print(Padding(escape(command.epilog), 1, expand=False))


def is_flag(param: Any) -> bool:
    """Whether an option takes no value."""
    return bool(getattr(param, "is_flag", False))


def _usage(command: Any, ctx: Any) -> str:
    """Return a line such as ``bench run [PAPER]... [OPTIONS]``."""
    pieces = [ctx.command_path]
    if hasattr(command, "commands"):
        return " ".join([*pieces, "[OPTIONS] COMMAND ..."])
    for param in command.params:
        if param.param_type_name == "argument":
            several = "..." if param.nargs != 1 else ""
            pieces.append(f"{_name(param) if param.required else f'[{_name(param)}]'}{several}")
        elif param.required:
            pieces.append(_name(param))
    return " ".join([*pieces, "[OPTIONS]"])


def _panel(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    return getattr(param, "rich_help_panel", None) or "Options"


def _name(param: Any) -> str:
    """Return the names of an option with the word for its value, or that of an argument."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    names = ", ".join([*sorted(param.opts, key=lambda name: name.count("-")), *param.secondary_opts])
    return names if is_flag(param) else f"{names} {param.metavar}"


def _text(param: Any, ctx: Any) -> str:
    default = param.get_default(ctx, call=False) if getattr(param, "show_default", False) else None
    return f"{param.help or ''}{f' [default: {default}]' if default and not is_flag(param) else ''}"


def _paragraphs(text: str | None) -> str:
    """Return a docstring with each paragraph on a line of its own."""
    return "\n".join(" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n"))


def _table(rows: Iterable[tuple[str, str]], width: int) -> Table:
    """Return names and texts in two columns, the first as narrow as its names allow."""
    from rich.table import Table
    from rich.text import Text

    listed = list(rows)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=min(max(len(name) for name, _ in listed), NAMES, width // 3 + 4), overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for name, text in listed:
        table.add_row(Text(name, style="cyan"), Text(text))
    return table
