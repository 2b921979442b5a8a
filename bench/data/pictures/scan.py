"""Walks a folder that holds one sub-folder a class, and writes down everything in it, odd things too."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.files import EXTENSIONS

SPLITS = ("val", "validation", "valid", "test", "testing", "eval")
"""Names of folders that hold what is evaluated, the likeliest first."""

DEPTH = 4
_SYSTEM = frozenset(("__macosx", "@eadir", "lost+found", "$recycle.bin", "thumbs.db", "desktop.ini"))
_DOCUMENT = re.compile(r"(?:readme|license|licence)(?:\.\w+)?", re.IGNORECASE)
_MOST_DIGITS = 1000
"""Python turns no more than 4,300 digits into a number, and no file is numbered so."""


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
    return [(1, int(p), p) if p.isdecimal() and len(p) <= _MOST_DIGITS else (0, 0, p) for p in parts]


def is_picture(name: str) -> bool:
    """Tell whether a file is a picture by its name."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 - called for each of millions of names


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is none of the user's: hidden, or left by an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def is_document(name: str) -> bool:
    """Tell whether a file tells people about the data: such a one does no harm, wherever it lies."""
    return _DOCUMENT.fullmatch(name) is not None


def class_root(folder: Path, named: re.Pattern[str] | None) -> Path:
    """Return the folder that holds the class folders: ``folder``, or the evaluation split inside it.

    Args:
        folder: what the user gave.
        named: what the names of class folders look like; None for any.

    Raises:
        UserError: it holds a training split only, or may not be read.
    """
    for _ in range(DEPTH):
        inner = below(lambda name, outer=folder: children_of(outer / name), named, str(folder))  # type: ignore[misc]
        if not inner:
            return folder
        folder = folder / inner
    return folder


Children = Callable[[str], list[tuple[str, bool]]]
"""From the name of a folder within another (empty: that one itself) to what lies in it: names, and which are folders"""


def below(children: Children, named: re.Pattern[str] | None, place: str) -> str:
    """Return the folder within another that holds the class folders or leads there; empty where it does so itself.

    That is the evaluation split, or the only folder where no classes are beside it. A class may be called like a
    split: a folder that holds pictures itself is a class, where classes may have any name.

    Raises:
        UserError: there is a training split only.
    """
    folders = sorted(name for name, is_folder in children("") if is_folder)
    if named is not None and any(named.fullmatch(name) for name in folders):
        return ""
    for split in SPLITS:
        inner = next((name for name in folders if name.lower() == split), "")
        if inner and (named is not None or not _holds_pictures(children(inner))):
            return inner
    if len(folders) == 1 and folders[0].lower() == "train" and (named or not _holds_pictures(children(folders[0]))):
        raise UserError(f"{place} holds a training split only: accuracy is measured on the validation split")
    only = [name for name in folders if name.lower() != "train"] if named is not None else folders
    if len(only) != 1 or _holds_pictures(children(only[0])):
        return ""
    return only[0] if named is not None or _holds_folders(children(only[0])) else ""


def scan(root: Path) -> Scan:
    """Return all that lies in ``root``; hidden files are passed over.

    Raises:
        UserError: ``root`` may not be read.
    """
    found = Scan(root)
    here = os.path.realpath(root)
    seen: dict[str, str] = {}
    for item in _sorted(root, found):
        if not _exists(item, item.name, found):
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
        if not _exists(item, place, found):
            continue
        if item.is_dir():
            real = os.path.realpath(item.path)
            is_loop = item.is_symlink() and os.path.realpath(folder).startswith(real)
            (found.loops if is_loop else found.nested).append(place)
        elif item.is_file() and is_picture(item.name):
            yield from _entry(item, place, found)
        else:
            (found.ignored if is_document(item.name) else found.strays).append(place)


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
            return sorted((i for i in items if not is_hidden(i.name)), key=lambda i: natural(i.name))
    except OSError as error:
        if not name:
            raise UserError(f"data folder {folder} cannot be read ({error.strerror})") from error
        found.denied.append(name)
        return []


def children_of(folder: Path) -> list[tuple[str, bool]]:
    """Return what lies in a folder but for hidden files: names, and which are folders.

    Raises:
        UserError: it may not be read.
    """
    try:
        with os.scandir(folder) as items:
            return [(item.name, _is_folder(item)) for item in items if not is_hidden(item.name)]
    except OSError as error:
        raise UserError(f"data folder {folder} cannot be read ({error.strerror})") from error


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link in a circle
        return False


def _holds_pictures(children: list[tuple[str, bool]]) -> bool:
    """Tell whether pictures lie directly in a folder: it is then a class and not a split."""
    return any(is_picture(name) for name, is_folder in children if not is_folder)


def _holds_folders(children: list[tuple[str, bool]]) -> bool:
    return any(is_folder for _, is_folder in children)
