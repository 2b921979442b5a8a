"""Folders that hold the very same pictures: one was copied to where another belongs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from claimbench.bench.core.text import some
from claimbench.bench.data.pictures.collection import Problem

Members = Sequence[tuple[str, int]]
"""The files of a folder in order: their names in it, and their sizes."""


def copies(folders: Mapping[str, Members], read: Callable[[str, int], bytes]) -> list[list[str]]:
    """Return the groups of folders whose files have the same names, sizes and contents.

    Files are read only of folders whose names and sizes agree, and no further than to the first difference.

    Args:
        folders: what each holds.
        read: returns the content of the file at a position in a folder; a file that it cannot read is like no other.
    """
    alike: dict[tuple[tuple[str, int], ...], list[str]] = defaultdict(list)
    for folder, members in folders.items():
        if members:
            alike[tuple(members)].append(folder)
    found = []
    for members, names in alike.items():
        groups = [names] if len(names) > 1 else []
        for position in range(len(members)):
            groups = [same for group in groups for same in _same(group, position, read)]
        found += groups
    return found


def problems(folders: Mapping[str, Members], read: Callable[[str, int], bytes], what: str) -> list[Problem]:
    """Say which folders are :func:`copies` of one another; ``what`` is what sentences call them."""
    same = copies(folders, read)
    shown = some([" and ".join(group[:2]) for group in same])
    return [Problem(f"{what} hold the very same pictures: {shown}", excusable=True)] if same else []


def _same(folders: list[str], position: int, read: Callable[[str, int], bytes]) -> list[list[str]]:
    """Return those of some folders whose files at a position have the same content, in groups of two and more."""
    groups: dict[bytes, list[str]] = defaultdict(list)
    for folder in folders:
        try:
            groups[hashlib.sha256(read(folder, position)).digest()].append(folder)
        except OSError:
            continue
    return [group for group in groups.values() if len(group) > 1]
