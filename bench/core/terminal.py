"""Output: JSON to a file or stdout, and the console that tables are printed on."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

RESULTS = "results"
"""The folder of records unless the user names another."""

WIDTH = 100
"""Columns where nothing says how wide the terminal is."""


def print_json(data: Any) -> None:
    """Print data as JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, default=_plain) + "\n")


def check_output(file: str) -> None:
    """Find out before anything is measured that a JSON file cannot be written.

    Raises:
        UserError: it is a folder, or its folder does not exist.
    """
    path = Path(file)
    if file not in ("", "-") and (path.is_dir() or not path.parent.is_dir()):
        raise UserError(f"{file} cannot be written: it is a folder, or its folder does not exist")


def write_json(data: Any, file: str) -> int:
    """Write data as JSON to a file, or to stdout for ``-``; return 1 after an error message if that fails."""
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


def columns() -> int:
    """Return the width of output: COLUMNS, else that of the terminal, also behind a pipe, else :data:`WIDTH`."""
    with suppress(ValueError):
        if (stated := int(os.environ.get("COLUMNS", ""))) > 0:
            return stated
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        with suppress(OSError, ValueError, AttributeError):
            return os.get_terminal_size(stream.fileno()).columns or WIDTH  # type: ignore[union-attr]
    return WIDTH


def shows_unicode() -> bool:
    """Whether standard output can show signs beyond ASCII."""
    try:
        "✔≈✖○◐→".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def console(*, stderr: bool = False) -> Console:
    """Return a rich console as wide as :func:`columns` says."""
    from rich.console import Console

    return Console(stderr=stderr, width=columns(), highlight=False, soft_wrap=False)


def entry(head: str, text: str, indent: int) -> str:
    """Return a line that begins with a name and wraps at spaces, further lines below its text.

    Args:
        head: the name; one that is longer than ``indent`` has the first line to itself.
        text: what stands behind it.
        indent: columns from the left to the text.
    """
    begin, before = (head.ljust(indent), "") if len(head) < indent else (" " * indent, f"{head}\n")
    lines = textwrap.fill(text, columns(), initial_indent=begin, subsequent_indent=" " * indent, break_on_hyphens=False)
    return before + (lines or begin.rstrip())


def shares(rows: Sequence[Sequence[str]], width: int, gap: int = 2) -> list[int]:
    """Return the widths of a table's columns, in which words stay whole as long as they fit side by side.

    Args:
        rows: the texts of all cells, titles too.
        width: of the whole table.
        gap: columns of space between two columns.
    """
    listed = list(zip(*rows, strict=True))
    most = [max(map(len, column)) for column in listed]
    room = width - gap * (len(most) - 1)
    found = [max((len(word) for cell in column for word in cell.split()), default=0) for column in listed]
    while sum(found) > room:  # then the longest words are cut, most likely paths and addresses
        found[found.index(max(found))] -= 1
    wanting = [i for i in range(len(found)) if found[i] < most[i]]
    while wanting and sum(found) < room:
        found[min(wanting, key=lambda i: found[i] / most[i])] += 1
        wanting = [i for i in wanting if found[i] < most[i]]
    return found


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int, right: Collection[str] = ()
) -> Table:
    """Return a table as wide as its cells need, and at most ``width`` columns; cells wrap at spaces.

    Args:
        titles: of the columns.
        rows: the cells; markup in them means nothing.
        width: of the terminal.
        right: the titles of columns whose cells stand at the right.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    found = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    texts = [list(titles), *([cell.plain for cell in row] for row in cells)]
    for title, space in zip(titles, shares(texts, width), strict=True):
        found.add_column(title, width=space, overflow="fold", justify="right" if title in right else "left")
    for row in cells:
        found.add_row(*row)
    return found
