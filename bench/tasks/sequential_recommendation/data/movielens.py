"""Timed ratings as RecBole's atomic files hold them: ``user_id:token item_id:token rating:float timestamp:float``.

GroupLens's own file of MovieLens-100K, ``u.data``, holds the same columns without a line of names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.sequential_recommendation.data.interactions import Ids, Interactions, from_pairs, lines_of

FEWEST = 5
"""Users and items with fewer actions are left out, again and again until all have as many."""

_NAMES = ("user_id", "item_id", "timestamp")
_GROUPLENS = "user_id\titem_id\trating\ttimestamp"
"""The columns of GroupLens's own ``u.data``, which has no header."""


def read_timed(path: Path) -> Interactions:
    """Return the interactions of a file of timed ratings; every rating counts as an action.

    Half of MovieLens-100K's actions share their second with another of the same user. Those are put in an order that
    depends on user and item alone and follows no pattern: the order of the file or of the items' numbers might tell a
    model the next item.

    Raises:
        UserError: the file cannot be read, or is something else; names the line.
    """
    lines, first = lines_of(path), 2
    if lines and re.fullmatch(r"\d+\t\d+\t\d+\t\d+", lines[0]):
        lines, first = [_GROUPLENS, *lines], 1
    names = [name.partition(":")[0] for name in (lines[0] if lines else "").split("\t")]
    absent = [name for name in _NAMES if name not in names]
    if absent:
        raise UserError(
            f"{path}: its first line names no {' and no '.join(absent)}; expected RecBole's .inter format, or u.data"
        )
    columns = [names.index(name) for name in _NAMES]
    found = [
        _action(path, number, line, len(names), columns) for number, line in enumerate(lines[1:], first) if line.strip()
    ]
    if not found:
        raise UserError(f"{path} holds no action")
    names_of_users, names_of_items, times = zip(*found, strict=True)
    users, items = _numbered(names_of_users), _numbered(names_of_items)
    kept = _core(users, items)
    if not kept.any():
        raise UserError(f"{path}: no user and item have {FEWEST} actions")
    order = np.lexsort((_shuffled(users, items), np.array(times), users))
    order = order[kept[order]]
    return from_pairs(str(path), _renumbered(users[order]), _renumbered(items[order]))


def _action(path: Path, number: int, line: str, width: int, columns: list[int]) -> tuple[str, str, float]:
    fields = line.split("\t")
    if len(fields) != width:
        raise UserError(f"{path}: line {number} has {len(fields)} columns where the first line names {width}")
    user, item, time = (fields[column].strip() for column in columns)
    if not user or not item:
        raise UserError(f"{path}: line {number} names no {'user' if not user else 'item'}")
    try:
        seconds = float(time)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UserError(f"{path}: the time in line {number} is {time[:40]!r} and no number")
    return user, item, seconds


def _numbered(names: Sequence[str]) -> Ids:
    """Number names from 1, numbers in their own order."""
    known = sorted(set(names), key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name))
    numbers = {name: number for number, name in enumerate(known, 1)}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _renumbered(ids: Ids) -> Ids:
    return np.unique(ids, return_inverse=True)[1].astype(np.int64) + 1


def _core(users: Ids, items: Ids) -> np.ndarray:
    kept: np.ndarray = np.ones(len(users), dtype=bool)
    while True:
        enough = [np.bincount(ids[kept], minlength=int(ids.max()) + 1)[ids] >= FEWEST for ids in (users, items)]
        after = kept & enough[0] & enough[1]
        if (after == kept).all():
            return kept
        kept = after


def _shuffled(users: Ids, items: Ids) -> np.ndarray:
    """Return a number for each pair that follows no pattern (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = (users.astype(np.uint64) << np.uint64(32)) + items.astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))
