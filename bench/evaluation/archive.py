"""Tar archives: one that holds class folders, one a class, or WebDataset shards. Read in place, never unpacked."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bench.errors import UserError
from bench.evaluation.pictures import Problem, several, some
from bench.evaluation.scan import Entry, Scan, is_picture, natural
from bench.evaluation.sources import Members

LABELS = ("cls", "cls.txt")
"""The endings under which a WebDataset shard keeps the number of a picture's class."""

LABEL_KEYS = ("label", "class_id", "cls")
"""The names under which a shard's ``.json`` keeps it."""

_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")
_NUMBERED = re.compile(r"(.*?)(\d+)(\.tar)")


@dataclass
class Index:
    """The members of some archives.

    Attributes:
        archives: their paths, in natural order.
        names: of the members that are files.
        places: of each member the archive's number, the offset of its content and its length.
        changed: the time of change of each archive, in nanoseconds.
        problems: what is wrong with the archives.
    """

    archives: list[Path]
    names: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def is_webdataset(self) -> bool:
        """Tell whether labels lie beside the pictures, as in WebDataset shards."""
        return any(split(name)[1] in (*LABELS, "json") for name in self.names)


def archives_in(data: Path) -> list[Path]:
    """Return the archives that ``data`` is or holds; none where it is a folder of something else.

    Raises:
        UserError: it is a compressed archive, or a file of another kind.
    """
    if data.is_dir():
        found = sorted((p for p in data.glob("*.tar") if not p.name.startswith(".")), key=lambda p: natural(p.name))
        return [] if any(p.is_dir() for p in data.iterdir() if not p.name.startswith(".")) else found
    if data.suffix.lower() in _COMPRESSED:
        raise UserError(f"{data} is compressed, so that single pictures cannot be read from it: unpack it first")
    if data.suffix.lower() != ".tar":
        raise UserError(f"{data} is neither a folder nor a .tar")
    return [data]


def index(archives: list[Path]) -> Index:
    """Return where each file of the archives lies; what cannot be read is a problem."""
    found = Index(archives)
    broken = []
    for number, path in enumerate(archives):
        try:
            found.changed.append(path.stat().st_mtime_ns)
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if member.isfile() and not PurePosixPath(member.name).name.startswith("."):
                        found.names.append(member.name.removeprefix("./"))
                        found.places.append((number, member.offset_data, member.size))
        except (tarfile.TarError, OSError, EOFError) as error:
            broken.append(f"{path.name} ({getattr(error, 'strerror', None) or error})")
    if broken:
        what = several(len(broken), "archive is broken or cut off", "archives are broken or cut off")
        found.problems.append(Problem(f"{what}: {some(broken)}"))
    missing = _missing_shards(archives)
    if missing:
        what = several(len(missing), "shard is missing", "shards are missing")
        found.problems.append(Problem(f"{what}: {some(missing)}", excusable=True))
    return found


def as_scan(found: Index, root: Path) -> tuple[Scan, Members]:
    """Return the members as the content of class folders; a class is a folder in an archive, or an archive."""
    listing = Scan(root)
    own = len(found.archives) > 1
    listed: list[tuple[str, Entry, int]] = []
    for number, (name, (archive, _, length)) in enumerate(zip(found.names, found.places, strict=True)):
        folder = PurePosixPath(name).parent.name or (found.archives[archive].stem if own else "")
        entry = Entry(f"{folder}/{PurePosixPath(name).name}", length, found.changed[archive])
        if not is_picture(name):
            (listing.strays if folder else listing.ignored).append(name)
        elif folder:
            listed.append((folder, entry, number))
        else:
            listing.loose.append(entry)
    listed.sort(key=lambda item: (natural(item[0]), natural(item[1].name)))
    for folder, entry, _ in listed:
        listing.classes.setdefault(folder, []).append(entry)
    return listing, Members(found.archives, [found.places[number] for _, _, number in listed])


@dataclass
class Shards:
    """The samples of WebDataset shards: names, classes by number, stamps, and what is wrong with them."""

    names: list[str]
    labels: list[int]
    stamps: list[tuple[int, int]]
    source: Members
    problems: list[Problem]


def as_shards(found: Index) -> Shards:
    """Return the samples of WebDataset shards: files whose names differ in their endings only."""
    samples: dict[tuple[int, str], dict[str, int]] = {}
    repeated = []
    for number, (name, (archive, _, _)) in enumerate(zip(found.names, found.places, strict=True)):
        key, ending = split(name)
        parts = samples.setdefault((archive, key), {})
        if ending in parts:
            repeated.append(name)
        parts[ending] = number
    content = Members(found.archives, found.places)
    names, labels, chosen = [], [], []
    pictureless, unlabelled = [], []
    for (_, key), parts in samples.items():
        picture = next((number for ending, number in parts.items() if is_picture(f"x.{ending}")), None)
        label = _label(parts, content)
        if picture is None:
            pictureless.append(key)
        elif label is None:
            unlabelled.append(key)
        else:
            names.append(found.names[picture])
            labels.append(label)
            chosen.append(picture)
    repeated += [name for name, count in Counter(names).items() if count > 1]
    problems = [
        *_problem(pictureless, "sample has no picture", "samples have no picture", True),
        *_problem(unlabelled, "sample has no class number (.cls)", "samples have no class number (.cls)", True),
        *_problem(repeated, "sample is there twice", "samples are there twice", False),
    ]
    places = [found.places[number] for number in chosen]
    stamps = [(length, found.changed[archive]) for archive, _, length in places]
    return Shards(names, labels, stamps, Members(found.archives, places), problems)


def split(name: str) -> tuple[str, str]:
    """Return the key of a sample and the ending of one of its files, as WebDataset splits names."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _label(parts: dict[str, int], content: Members) -> int | None:
    try:
        for ending in LABELS:
            if ending in parts:
                return int(content.encoded(parts[ending]))
        if "json" in parts:
            facts: Any = json.loads(content.encoded(parts["json"]))
            return next((int(facts[key]) for key in LABEL_KEYS if key in facts), None)
    except (ValueError, TypeError, OSError):
        return None
    return None


def _problem(names: list[str], one: str, many: str, excusable: bool) -> list[Problem]:
    return [Problem(f"{several(len(names), one, many)}: {some(names)}", excusable)] if names else []


def _missing_shards(archives: list[Path]) -> list[str]:
    """Return the shards whose numbers are left out between the first and the last."""
    groups: dict[tuple[str, str, int], set[int]] = {}
    for path in archives:
        match = _NUMBERED.fullmatch(path.name)
        if match:
            groups.setdefault((match[1], match[3], len(match[2])), set()).add(int(match[2]))
    missing = []
    for (head, tail, width), numbers in groups.items():
        if len(numbers) > 1 and width > 3 and not re.fullmatch(r"n", head):
            missing += [f"{head}{n:0{width}}{tail}" for n in range(max(numbers)) if n not in numbers]
    return missing
