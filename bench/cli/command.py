"""The classes of commands and groups: their help pages, lists of values, and one sentence for wrong usage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from claimbench.bench.core.errors import UserError, unknown

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Wrong usage: the base of :class:`typer.BadParameter`, which typer does not export."""


class Command(TyperCommand):
    """A command whose help page is :func:`claimbench.bench.cli.help.print_help`'s."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        from claimbench.bench.cli.help import print_help

        print_help(self, ctx)


class SeveralValues(Command):
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


class CommandGroup(TyperGroup):
    """A group of commands; wrong usage of any of them is one sentence."""

    def make_context(self, *given: Any, **more: Any) -> Any:
        """Return the context of the group's own options.

        Raises:
            UserError: they are wrong.
        """
        with _one_sentence():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for.

        Raises:
            UserError: there is none of that name, or its options are wrong.
        """
        with _one_sentence():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the group's own options; without any argument a group prints its help page and ends as wrong usage."""
        if not args and self.no_args_is_help:
            self.format_help(ctx, None)
            raise typer.Exit(2)
        return list(super().parse_args(ctx, args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        from claimbench.bench.cli.help import print_help

        print_help(self, ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is asked for.

        Raises:
            UserError: there is none of that name; the message has the nearest ones.
        """
        if not ctx.resilient_parsing and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn typer's errors into ours."""
    try:
        yield
    except UsageError as error:
        raise UserError(_sentence(error)) from error


def _sentence(error: Any) -> str:
    """Return one sentence for wrong usage, with the command whose help says more."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "bench"
    more = f"; `{path} --help` says more" if ctx is not None else ""
    if (param := getattr(error, "param", None)) is not None:
        name = param.metavar if param.param_type_name == "argument" else param.opts[0]
        what = f"{name}: {error.message}" if error.message else f"{name} is missing"
        return f"{what}{more}"
    if (near := getattr(error, "possibilities", None)) is not None:
        hint = f"did you mean {' or '.join(near)}?" if near else f"`{path} --help` lists them"
        return f"unknown option {error.option_name!r}; {hint}"
    text = error.format_message().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}{more}"
