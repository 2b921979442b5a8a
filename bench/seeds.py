"""The seeds that ``--seeds`` asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from claimbench.bench.errors import UserError
from claimbench.bench.request import split

MOST = 1000


def parse(asked: Sequence[str], default: int = 1) -> tuple[int, ...]:
    """Return the seeds: one number is how many from 0, a range or a list names them; ``default`` many for nothing.

    Raises:
        UserError: they are no numbers, or far too many.
    """
    items = split(asked)
    if not items:
        return tuple(range(default))
    if len(items) == 1 and items[0].isdecimal():
        count = int(items[0])
        if not 1 <= count <= MOST:
            raise UserError(f"--seeds takes 1 to {MOST} seeds, not {items[0]}")
        return tuple(range(count))
    found: list[int] = []
    for item in items:
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", item)
        if not match:
            raise UserError(f"--seeds takes how many (5), a range (10-14) or a list (3,7,9), not {item!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST:
            raise UserError(f"--seeds {item} names no seeds, or more than {MOST}")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))
