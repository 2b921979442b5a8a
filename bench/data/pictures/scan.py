"""Lists the content of folders of classes, on the disk or in archives; odd things are kept too."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.collection import Problem, problem
from claimbench.bench.data.pictures.picture_reader import EXTENSIONS

SPLITS = ("val", "validation", "valid", "test", "testing", "eval")
"""Names of folders that hold the evaluated pictures, the likeliest first."""

DEPTH = 4
_SYSTEM = frozenset(("__macosx", "@eadir", "lost+found", "$recycle.bin", "thumbs.db", "desktop.ini"))
_DOCUMENT = re.compile(r"(?:readme|license|licence)(?:\.\w+)?", re.IGNORECASE)
_MOST_DIGITS = 1000
"""Python turns no more than 4,300 digits into a number, and no file is numbered so."""

ODD = {
    "loose": ("picture lies", "pictures lie", "in no class folder"),
    "strays": ("file in a class folder is", "files in class folders are", "no picture"),
    "nested": ("folder lies", "folders lie", "inside a class folder"),
    "dangling": ("link points", "links point", "nowhere"),
    "loops": ("link leads", "links lead", "in a circle"),
    "denied": ("file or folder", "files or folders", "may not be read (permission denied)"),
    "twins": ("pair of class folders is", "pairs are", "one and the same"),
}
"""The kinds of things that should not lie in folders of classes, and the words for one and for several."""


class Item(NamedTuple):
    """A thing in a folder.

    Attributes:
        name: of it, in its folder.
        kind: ``folder``, ``file``, ``other`` (a pipe), or one of :data:`ODD`.
        size: in bytes.
        changed: the time of its last change, in nanoseconds.
        number: of a member in its archives; 0 elsewhere.
        real: the path of a folder without links; empty elsewhere.
    """

    name: str
    kind: str
    size: int = 0
    changed: int = 0
    number: int = 0
    real: str = ""


class Tree(Protocol):
    """A folder on the disk or in an archive."""

    def items(self, *path: str) -> list[Item]:
        """Return the things in a folder below this one in natural order, but for hidden ones.

        Raises:
            UserError: it may not be read.
        """
        ...


class DiskTree:
    """A folder on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def items(self, *path: str) -> list[Item]:
        """Return the things in a folder; see :class:`Tree`."""
        folder = Path(self.root, *path)
        above = os.path.realpath(folder)
        try:
            with os.scandir(folder) as found:
                items = [_item(entry, above) for entry in found if not is_hidden(entry.name)]
        except OSError as error:
            raise UserError(f"data folder {folder} cannot be read ({error.strerror})") from error
        return sorted(items, key=lambda item: natural(item.name))


def _item(entry: os.DirEntry[str], above: str) -> Item:
    """Return a thing that lies in the folder with the path ``above``."""
    try:
        facts = entry.stat()
    except OSError as error:
        return Item(entry.name, {errno.ELOOP: "loops", errno.EACCES: "denied"}.get(error.errno or 0, "dangling"))
    if stat.S_ISDIR(facts.st_mode):
        real = os.path.realpath(entry.path)
        is_loop = f"{above}{os.sep}".startswith(real.rstrip(os.sep) + os.sep)
        return Item(entry.name, "loops" if is_loop else "folder", real=real)
    if not stat.S_ISREG(facts.st_mode):
        return Item(entry.name, "other")
    if is_picture(entry.name) and not os.access(entry.path, os.R_OK):
        return Item(entry.name, "denied")
    return Item(entry.name, "file", facts.st_size, facts.st_mtime_ns)


class MemberTree:
    """The folders that paths of files make up, as those of an archive."""

    def __init__(self, files: Iterable[tuple[tuple[str, ...], Item]]) -> None:
        """Take the path of each file, its name included, and the file."""
        folders: dict[tuple[str, ...], dict[str, Item]] = defaultdict(dict)
        self._items: dict[tuple[str, ...], list[Item]] = defaultdict(list)
        for path, item in files:
            for depth in range(len(path) - 1):
                folders[path[:depth]][path[depth]] = Item(path[depth], "folder")
            self._items[path[:-1]].append(item)
        for path, inside in folders.items():
            self._items[path] += inside.values()

    def items(self, *path: str) -> list[Item]:
        """Return the things in a folder; see :class:`Tree`."""
        return sorted(self._items.get(path, ()), key=lambda item: natural(item.name))


@dataclass
class Scan:
    """The content of a folder of class folders.

    Attributes:
        root: that folder, or the archive that holds it.
        classes: the pictures of each class folder, in natural order; their names are those below ``root``.
        loose: pictures that lie in no class folder.
        ignored: other files, which do no harm.
        odd: the names of the other things of each kind of :data:`ODD`.
    """

    root: Path
    classes: dict[str, list[Item]] = field(default_factory=dict)
    loose: list[Item] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    odd: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in ODD})

    def entries(self) -> list[Item]:
        """Return the pictures of all classes, in order."""
        return [entry for name in self.classes for entry in self.classes[name]]

    def problems(self) -> list[Problem]:
        """Return the problems of files that should not lie there."""
        self.odd["loose"] = [entry.name for entry in self.loose]
        return [p for kind, words in ODD.items() for p in problem(self.odd[kind], *words, excusable=kind != "twins")]


def scan(tree: Tree, root: Path, above: str = "") -> Scan:
    """Return all that lies in a folder of class folders; hidden files are passed over.

    Args:
        tree: the folder.
        root: its path, or that of its archive.
        above: the path of the folder in its archive, which stands before names in messages.

    Raises:
        UserError: it may not be read.
    """
    found = Scan(root)
    seen: dict[str, str] = {}
    for item in tree.items():
        if item.kind == "folder" and item.real and item.real in seen:
            found.odd["twins"].append(f"{seen[item.real]} and {item.name}")
        elif item.kind == "folder":
            seen[item.real] = item.name
            found.classes[item.name] = []
            try:
                inside = tree.items(item.name)
            except UserError:
                found.odd["denied"].append(item.name)
                continue
            for inner in inside:
                name = f"{item.name}/{inner.name}"
                if inner.kind == "file" and is_picture(inner.name):
                    found.classes[item.name].append(inner._replace(name=name))
                elif inner.kind != "folder" and inner.kind not in ODD and _DOCUMENT.fullmatch(inner.name):
                    found.ignored.append(above + name)
                else:
                    kind = {"folder": "nested", "file": "strays", "other": "strays"}.get(inner.kind, inner.kind)
                    found.odd[kind].append(above + name)
        elif item.kind in ODD:
            found.odd[item.kind].append(item.name)
        elif item.kind == "file" and is_picture(item.name):
            found.loose.append(item)
        else:
            found.ignored.append(above + item.name)
    return found


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``a2`` before ``a10``."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(p), p) if p.isdecimal() and len(p) <= _MOST_DIGITS else (0, 0, p) for p in parts]


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 - called for each of millions of names


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left by an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def class_root(tree: Tree, named: re.Pattern[str] | None, place: str) -> tuple[str, ...]:
    """Return the path below a folder of the folder that holds the class folders.

    That is the folder itself, the evaluation split in it, or the only folder if no classes are beside it. A class
    may be called like a split: a folder that holds pictures itself is a class if classes may have any name.

    Args:
        tree: the folder.
        named: the form of the names of class folders; None for any.
        place: the name of the folder in messages.

    Raises:
        UserError: there is a training split only, or a folder may not be read.
    """
    path: tuple[str, ...] = ()
    for _ in range(DEPTH):
        inner = _inner(tree, path, named, "/".join((place, *path)))
        if not inner:
            break
        path = (*path, inner)
    return path


def _inner(tree: Tree, path: tuple[str, ...], named: re.Pattern[str] | None, place: str) -> str:
    """Return the folder within another that holds the class folders or leads there; empty if it does so itself."""

    def holds(folder: str, what: str) -> bool:
        items = tree.items(*path, folder)
        return any(item.kind == what and (what == "folder" or is_picture(item.name)) for item in items)

    folders = sorted(item.name for item in tree.items(*path) if item.kind == "folder")
    if named is not None and any(named.fullmatch(name) for name in folders):
        return ""
    for split in SPLITS:
        inner = next((name for name in folders if name.lower() == split), "")
        if inner and (named is not None or not holds(inner, "file")):
            return inner
    if len(folders) == 1 and folders[0].lower() == "train" and (named or not holds(folders[0], "file")):
        raise UserError(f"{place} holds a training split only: accuracy is measured on the validation split")
    only = [name for name in folders if name.lower() != "train"] if named is not None else folders
    if len(only) != 1 or holds(only[0], "file"):
        return ""
    return only[0] if named is not None or holds(only[0], "folder") else ""
