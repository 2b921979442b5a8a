"""Walks a folder that holds one sub-folder a class, and writes down everything in it, odd things too."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.errors import UserError
from bench.evaluation.pictures import EXTENSIONS

SPLITS = ("val", "validation", "valid", "test", "testing", "eval")
"""Names of folders that hold what is evaluated, the likeliest first."""

DEPTH = 4
_SYSTEM = frozenset(("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini"))


class Entry(NamedTuple):
    """A picture: its name below the root, and its size and time of change."""

    name: str
    size: int
    changed: int


@dataclass
class Scan:
    """What a folder of class folders holds.

    Attributes:
        root: the folder that holds the class folders.
        classes: the pictures of each class folder, in natural order.
        strays: files in class folders that are no pictures by their names.
        nested: folders inside class folders.
        loose: pictures that lie in no class folder.
        ignored: other files beside the class folders, which do no harm.
        dangling: links that point nowhere.
        loops: links that lead back to where they are.
        denied: files and folders that may not be read.
        twins: class folders that are one and the same: (one, other).
    """

    root: Path
    classes: dict[str, list[Entry]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    loose: list[Entry] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    twins: list[tuple[str, str]] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """Return the pictures of all classes, in order."""
        return [entry for name in self.classes for entry in self.classes[name]]


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``a2`` before ``a10``."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def is_picture(name: str) -> bool:
    """Tell whether a file is a picture by its name."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 - called for each of millions of names


def class_root(folder: Path, named: re.Pattern[str] | None) -> Path:
    """Return the folder that holds the class folders: ``folder``, or the evaluation split inside it.

    Args:
        folder: what the user gave.
        named: what the names of class folders look like; None for any.

    Raises:
        UserError: it holds a training split only, or may not be read.
    """
    for _ in range(DEPTH):
        folders = {name for name, is_folder in _children(folder) if is_folder}
        if named is not None and any(named.fullmatch(name) for name in folders):
            return folder
        inner = next((split for split in SPLITS if split in folders), None)
        if inner is None and named is not None:
            wrapped = folders - {"train"}
            if "train" in folders and not wrapped:
                raise UserError(f"{folder} holds a training split only: accuracy is measured on the validation split")
            inner = wrapped.pop() if len(wrapped) == 1 and not _holds_pictures(folder / min(wrapped)) else None
        if inner is None:
            return folder
        folder = folder / inner
    return folder


def scan(root: Path) -> Scan:
    """Return all that lies in ``root``; hidden files are passed over.

    Raises:
        UserError: ``root`` may not be read.
    """
    found = Scan(root)
    here = os.path.realpath(root)
    seen: dict[str, str] = {}
    for item in _sorted(root, found):
        if item.name in _SYSTEM or not _exists(item, item.name, found):
            continue
        if item.is_dir():
            real = os.path.realpath(item.path)
            if here == real or here.startswith(real.rstrip(os.sep) + os.sep):
                found.loops.append(item.name)
            elif real in seen:
                found.twins.append((seen[real], item.name))
            else:
                seen[real] = item.name
                found.classes[item.name] = list(_class(Path(item.path), item.name, found))
        elif item.is_file() and is_picture(item.name):
            found.loose.extend(_entry(item, item.name, found))
        else:
            found.ignored.append(item.name)
    return found


def _class(folder: Path, name: str, found: Scan) -> Iterator[Entry]:
    """Yield the pictures of one class folder; write everything else down."""
    for item in _sorted(folder, found, name):
        place = f"{name}/{item.name}"
        if item.name in _SYSTEM or not _exists(item, place, found):
            continue
        if item.is_dir():
            real = os.path.realpath(item.path)
            is_loop = item.is_symlink() and os.path.realpath(folder).startswith(real)
            (found.loops if is_loop else found.nested).append(place)
        elif item.is_file() and is_picture(item.name):
            yield from _entry(item, place, found)
        else:
            found.strays.append(place)


def _entry(item: os.DirEntry[str], place: str, found: Scan) -> Iterator[Entry]:
    try:
        facts = item.stat()
    except OSError:
        found.denied.append(place)
        return
    if not os.access(item.path, os.R_OK):
        found.denied.append(place)
        return
    yield Entry(place, facts.st_size, facts.st_mtime_ns)


def _exists(item: os.DirEntry[str], place: str, found: Scan) -> bool:
    """Tell whether something is there; a link that leads nowhere is written down."""
    try:
        item.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            found.loops.append(place)
        elif error.errno == errno.EACCES:
            found.denied.append(place)
        else:
            found.dangling.append(place)
        return False
    return True


def _sorted(folder: Path, found: Scan, name: str = "") -> list[os.DirEntry[str]]:
    """Return what lies in a folder, in natural order, without hidden files."""
    try:
        with os.scandir(folder) as items:
            return sorted((i for i in items if not i.name.startswith(".")), key=lambda i: natural(i.name))
    except OSError as error:
        if not name:
            raise UserError(f"data folder {folder} cannot be read ({error.strerror})") from error
        found.denied.append(name)
        return []


def _children(folder: Path) -> list[tuple[str, bool]]:
    try:
        with os.scandir(folder) as items:
            return [(item.name, _is_folder(item)) for item in items if not item.name.startswith(".")]
    except OSError as error:
        raise UserError(f"data folder {folder} cannot be read ({error.strerror})") from error


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link in a circle
        return False


def _holds_pictures(folder: Path) -> bool:
    """Tell whether pictures lie directly in a folder: it is then a class and not a split."""
    return any(is_picture(name) for name, is_folder in _children(folder) if not is_folder)
