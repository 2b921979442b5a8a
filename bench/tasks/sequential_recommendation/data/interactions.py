"""Interactions: users' actions on items in the order of time, and the text files that hold them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from claimbench.bench.core.errors import UserError

Ids = NDArray[np.int64]

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Interactions:
    """Actions of users on items, both numbered from 1.

    Attributes:
        name: of the data set.
        actions: the items (N,) of all users, user after user, each in the order of time.
        starts: the index of each user's first action, and N: (users + 1,).
    """

    name: str
    actions: Ids
    starts: Ids

    @property
    def users(self) -> int:
        """The number of users."""
        return len(self.starts) - 1

    @cached_property
    def items(self) -> int:
        """The number of items."""
        return int(self.actions.max())

    @cached_property
    def lengths(self) -> Ids:
        """The number of actions of each user: (users,)."""
        return np.diff(self.starts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the actions and of whose they are."""
        return hashlib.sha256(self.starts.tobytes() + self.actions.tobytes()).hexdigest()


def from_pairs(name: str, users: Ids, items: Ids) -> Interactions:
    """Return the interactions of pairs (N,), which come in the order of time for each user.

    Raises:
        UserError: there are none, or users or items are not numbered from 1 without gaps.
    """
    if not len(users):
        raise UserError(f"{name} holds no action: each line must be a user and an item")
    for kind, ids in (("user", users), ("item", items)):
        if ids.min() < 1:
            raise UserError(f"{name}: {kind}s must be numbered from 1, found {kind} {ids.min()}")
        distinct = np.unique(ids)
        if len(distinct) < distinct[-1]:
            missing = int(np.flatnonzero(distinct != np.arange(1, len(distinct) + 1))[0]) + 1
            raise UserError(
                f"{name}: {kind} {missing} has no action though {kind} {distinct[-1]} has; number the {kind}s from 1 "
                "without gaps"
            )
    order = np.argsort(users, kind="stable")
    return Interactions(name, items[order], np.searchsorted(users[order], np.arange(1, users.max() + 2)))


def read_pairs(path: Path) -> Interactions:
    """Return the interactions in a text file: a user and an item a line, each user's lines in the order of time.

    Raises:
        UserError: the file cannot be read, or a line is something else; names it.
    """
    pairs = [_pair(path, number, line) for number, line in enumerate(lines_of(path), 1) if line.strip()]
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return from_pairs(str(path), users, items)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file") from error


def _pair(path: Path, number: int, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2:
        columns = f"{len(fields)} column{'s' * (len(fields) > 1)}"
        raise UserError(f"{path}: line {number} has {columns}; expected a user and an item, as in `1 6393`")
    user, item = fields
    if not (user.isascii() and user.isdigit() and item.isascii() and item.isdigit()):
        raise UserError(f"{path}: line {number} is {line.strip()[:40]!r}; expected two whole numbers, as in `1 6393`")
    if max(len(user), len(item)) > 10 or max(int(user), int(item)) > LARGEST:
        raise UserError(f"{path}: line {number} holds a number above {LARGEST}; number users and items from 1")
    return int(user), int(item)
