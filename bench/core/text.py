"""Words of the command line and of sentences: lists of names, counts with their nouns, seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from claimbench.bench.core.errors import UserError


def split(items: Sequence[str]) -> tuple[str, ...]:
    """Return the names in ``items``, each item one or several separated by commas; repeated ones once."""
    names = [name.strip() for item in items for name in item.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


SHOWN = 3
"""The number of names that a sentence lists."""


def some(names: Sequence[str]) -> str:
    """Return the first few names: ``a, b, c and 5 more``."""
    shown = ", ".join(_printable(name) for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def several(count: int, one: str, many: str) -> str:
    """Return a count with its noun: ``1 file`` or ``3 files``."""
    return f"{count:,} {one if count == 1 else many}"


def duration(length: float) -> str:
    """Return seconds as a person would say them."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if round(length) >= 2 * size:
            return f"{length / size:.0f} {unit}"
    return f"{length:.0f} s"


def flat(data: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested facts as texts by dotted names: ``cpu.model``, ``libraries.torch``; empty ones are left out."""
    found: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif value not in (None, "", []):
            found[f"{before}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found


def first_line(error: Exception) -> str:
    """Return the first line that an error says anything in, of 200 letters at most; its kind if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


MOST_SEEDS = 1000
"""The largest number of seeds that one study or training may be repeated with."""


def seeds(asked: Sequence[str], default: int = 1) -> tuple[int, ...]:
    """Return the seeds: one number is their count from 0, a range or a list names them; ``default`` many for nothing.

    Raises:
        UserError: they are no numbers, or far too many.
    """
    items = split(asked)
    if not items:
        return tuple(range(default))
    if len(items) == 1 and items[0].isdecimal():
        count = int(items[0])
        if not 1 <= count <= MOST_SEEDS:
            raise UserError(f"--seeds takes 1 to {MOST_SEEDS} seeds, not {items[0]}")
        return tuple(range(count))
    found: list[int] = []
    for item in items:
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", item)
        if not match:
            raise UserError(f"--seeds takes how many (5), a range (10-14) or a list (3,7,9), not {item!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_SEEDS:
            raise UserError(f"--seeds {item} names no seeds, or more than {MOST_SEEDS}")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))
