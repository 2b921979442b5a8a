"""Tar archives: one that holds class folders, one a class, or WebDataset shards. Read in place, never unpacked."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.grouping import grouped
from claimbench.bench.data.pictures.collection import Members, Pictures, Problem, problem
from claimbench.bench.data.pictures.scan import (
    SPLITS,
    DiskTree,
    Item,
    MemberTree,
    Scan,
    class_root,
    is_hidden,
    is_picture,
    natural,
    scan,
)

LABELS = ("cls", "cls.txt")
"""The endings under which a WebDataset shard keeps the number of a picture's class."""

LABEL_KEYS = ("label", "class_id", "cls")
"""The names under which a shard's ``.json`` keeps it."""

_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")
_NUMBERED = re.compile(r"(.*?)(\d+)(\.tar)")
_LABEL = re.compile(rb"\s*\d{1,9}\s*")


@dataclass
class Index:
    """The members of some archives.

    Attributes:
        archives: their paths, in natural order.
        names: of the members that are files.
        places: of each member the archive's number, the offset of its content and its length.
        changed: the time of change of each archive, in nanoseconds.
        problems: with the archives.
    """

    archives: list[Path]
    names: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def is_webdataset(self) -> bool:
        """Whether labels lie beside the pictures, as in WebDataset shards."""
        return any(split(name)[1] in (*LABELS, "json") for name in self.names)


def archives_in(data: Path) -> list[Path]:
    """Return the archives that ``data`` is or holds; none if it is a folder of something else.

    Raises:
        UserError: it is a compressed archive, or a file of another kind.
    """
    if data.is_dir():
        folders = {item.name for item in DiskTree(data).items() if item.kind == "folder"}
        found = _tars(data)
        if not found:
            inside = (_tars(data / split) for split in SPLITS if split in folders)
            return next((tars for tars in inside if tars), [])
        return [] if folders else _of_split(found, data)
    if data.suffix.lower() in _COMPRESSED:
        raise UserError(f"{data} is compressed, so that single pictures cannot be read from it: unpack it first")
    if data.suffix.lower() != ".tar":
        raise UserError(f"{data} is neither a folder nor a .tar")
    return [data]


def _tars(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("*.tar") if not p.name.startswith(".")), key=lambda p: natural(p.name))


def _of_split(found: list[Path], data: Path) -> list[Path]:
    """Return the archives of the split that is evaluated, if their names begin with those of splits.

    Raises:
        UserError: there are numbered shards of the training split only.
    """
    splits = [re.split(r"[^a-z]", path.name.lower())[0] for path in found]
    if "train" in splits:
        for split in SPLITS:
            if split in splits:
                return [path for path, own in zip(found, splits, strict=True) if own == split]
        if set(splits) == {"train"} and _NUMBERED.fullmatch(found[0].name):
            raise UserError(f"{data} holds a training split only: accuracy is measured on the validation split")
    return found


def index(archives: list[Path]) -> Index:
    """Return the place of each file of the archives; one that cannot be read is a problem."""
    found = Index(archives)
    broken: list[str] = []
    links: list[str] = []
    for number, path in enumerate(archives):
        try:
            found.changed.append(path.stat().st_mtime_ns)
            if not path.is_file():
                raise OSError("it is no file")
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if any(is_hidden(part) for part in PurePosixPath(name).parts):
                        continue
                    if member.isfile():
                        found.names.append(name)
                        found.places.append((number, member.offset_data, member.size))
                    elif not member.isdir():
                        links.append(name)
        except (tarfile.TarError, OSError, EOFError) as error:
            broken.append(f"{path.name} ({getattr(error, 'strerror', None) or error})")
    found.problems += [
        *problem(broken, "archive is", "archives are", "broken or cut off", excusable=False),
        *problem(links, "member is a link, and no file", "members are links, and no files"),
        *problem(_missing_shards(archives), "shard is", "shards are", "missing"),
    ]
    return found


def as_scan(found: Index, root: Path, named: re.Pattern[str] | None) -> tuple[Scan, Members]:
    """Return the members as the content of class folders; a class is a folder in an archive, or an archive.

    The members come in the order of ``entries()``, and after them those that lie in no class folder.

    Args:
        found: the members.
        root: the folder or archive that the user gave.
        named: the form of the names of class folders; None for any.

    Raises:
        UserError: there is a training split only.
    """
    files = []
    for number, (name, (archive, _, size)) in enumerate(zip(found.names, found.places, strict=True)):
        item = Item(PurePosixPath(name).name, "file", size, found.changed[archive], number)
        files.append((PurePosixPath(name).parts, item))
    top = class_root(MemberTree(files), named, str(root))
    inside = []
    for path, item in files:
        if path[: len(top)] == top:
            own = (found.archives[found.places[item.number][0]].stem,)
            is_own = len(found.archives) > 1 and len(path) == len(top) + 1
            inside.append(((*(own if is_own else ()), *path[len(top) :]), item))
    listing = scan(MemberTree(inside), root, "".join(f"{folder}/" for folder in top))
    counts = Counter((archive, name) for name, (archive, _, _) in zip(found.names, found.places, strict=True))
    twice = [name for (_, name), count in counts.items() if count > 1]
    found.problems += problem(twice, "member is", "members are", "there twice", excusable=False)
    return listing, Members(found.archives, [found.places[e.number] for e in [*listing.entries(), *listing.loose]])


def as_samples(found: Index, root: Path) -> Pictures:
    """Return the samples of WebDataset shards: files whose names differ in their endings only; no names of classes."""
    samples: dict[tuple[int, str], dict[str, int]] = {}
    repeated = []
    for number, (name, (archive, _, _)) in enumerate(zip(found.names, found.places, strict=True)):
        key, ending = split(name)
        parts = samples.setdefault((archive, key), {})
        if ending in parts:
            repeated.append(name)
        parts[ending] = number
    content = Members(found.archives, found.places)
    chosen: dict[int, int] = {}
    pictureless, unlabelled, crowded = [], [], []
    for (_, key), parts in samples.items():
        pictures = [number for ending, number in parts.items() if "." not in ending and is_picture(f"x.{ending}")]
        label = _label(parts, content)
        if not pictures:
            pictureless.append(key)
        elif len(pictures) > 1:
            crowded.append(key)
        elif label is None:
            unlabelled.append(key)
        else:
            chosen[pictures[0]] = label
    names = [found.names[number] for number in chosen]
    places = [found.places[number] for number in chosen]
    repeated += [name for name, count in Counter(names).items() if count > 1]
    return Pictures(
        names=names,
        labels=[(label,) for label in chosen.values()],
        classes=[],
        source=Members(found.archives, places),
        stamps=[(size, found.changed[archive]) for archive, _, size in places],
        place=str(root),
        problems=[
            *found.problems,
            *problem(pictureless, "sample has no picture", "samples have no picture"),
            *problem(unlabelled, "sample has no class number (.cls)", "samples have no class number (.cls)"),
            *problem(crowded, "sample has several pictures", "samples have several pictures"),
            *problem(repeated, "sample is", "samples are", "there twice", excusable=False),
        ],
    )


def split(name: str) -> tuple[str, str]:
    """Return the key of a sample and the ending of one of its files, as WebDataset splits names."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _label(parts: dict[str, int], content: Members) -> int | None:
    try:
        for ending in LABELS:
            if ending in parts:
                data = content.encoded(parts[ending])
                return int(data) if _LABEL.fullmatch(data) else None
        if "json" in parts:
            facts: Any = json.loads(content.encoded(parts["json"]))
            label = next((facts[key] for key in LABEL_KEYS if key in facts), None)
            return label if type(label) is int and label >= 0 else None
    except (ValueError, TypeError, OSError):
        return None
    return None


def _missing_shards(archives: list[Path]) -> list[str]:
    """Return the shards whose numbers are left out between the first and the last."""
    matches = [match for path in archives if (match := _NUMBERED.fullmatch(path.name))]
    missing = []
    for (head, tail, width), series in grouped(matches, lambda match: (match[1], match[3], len(match[2]))).items():
        numbers = {int(match[2]) for match in series}
        if len(numbers) > 1 and width > 3 and head != "n":  # n01440764.tar is a class
            missing += [f"{head}{n:0{width}}{tail}" for n in range(max(numbers)) if n not in numbers]
    return missing
