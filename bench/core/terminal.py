"""Output: JSON to a file or stdout, and the console that tables are printed on."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

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
