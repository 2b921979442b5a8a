"""Turns the content of a folder or an archive into pictures with labels, and finds the problems with them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.text import several, some
from claimbench.bench.data.pictures import synsets
from claimbench.bench.data.pictures.collection import Pictures, Problem, Source, problem
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.scan import Scan, natural

_NUMBER = re.compile(r"\d{1,4}")
OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})\.(?:JPEG|jpeg|jpg|png)")
"""The names of the pictures of ImageNet val."""


def folder_names(dataset: PictureSet) -> re.Pattern[str] | None:
    """Return the form of the names of a data set's class folders; None for any."""
    if dataset.layout == "indices":
        return re.compile(rf"{_NUMBER.pattern}|{synsets.SYNSET.pattern}")
    return synsets.SYNSET if dataset.synsets else None


def from_scan(dataset: PictureSet, found: Scan, source: Source) -> Pictures:
    """Return the pictures of class folders; ``source`` reads them in the order of ``found.entries()``."""
    numbers = class_numbers(dataset, found)
    listed = [(entry, numbers.get(name)) for name, members in found.classes.items() for entry in members]
    pictures = Pictures(
        names=[entry.name for entry, _ in listed],
        labels=[() if number is None else (number,) for _, number in listed],
        classes=class_names(dataset, found),
        source=source,
        stamps=[(entry.size, entry.changed) for entry, _ in listed],
        place=str(found.root),
        problems=[
            *_class_problems(dataset, found, numbers),
            *found.problems(),
            *_flat(found),
            *_copied(dataset, found, source),
        ],
        notes=_notes(dataset, found),
        expected=dataset.images,
        left_out=len(found.odd["strays"]) + len(found.loose),
    )
    pictures.leave_out(at for at, (_, number) in enumerate(listed) if number is None)
    return pictures


def class_numbers(dataset: PictureSet, found: Scan) -> dict[str, int]:
    """Return the number of each class folder that is a class of the data set."""
    if dataset.layout == "any":
        return {name: number for number, name in enumerate(sorted(found.classes, key=natural))}
    known = expected_classes(dataset)
    named = {name: known[name] for name in found.classes if name in known}
    if dataset.layout == "indices":
        named |= {name: int(name) for name in found.classes if _NUMBER.fullmatch(name) and int(name) < 1000}
    return named


def class_names(dataset: PictureSet, found: Scan | None = None) -> Sequence[str]:
    """Return the names of the classes, by number."""
    if dataset.synsets:
        return list(synsets.indices())
    return sorted(found.classes, key=natural) if found is not None else []


def expected_classes(dataset: PictureSet) -> Mapping[str, int]:
    """Return the number of each class of an ImageNet-like data set, by WordNet id."""
    if not dataset.subset:
        return synsets.indices()
    return {synset: synsets.indices()[synset] for synset in synsets.subset(dataset.subset)}


def count_problems(dataset: PictureSet, pictures: Pictures) -> list[Problem]:
    """Return the problems with the number of pictures: in all, and of each class."""
    counts = Counter(label[0] for label in pictures.labels)
    total = sum(counts.values())
    if dataset.classes is None:
        return [] if total else [Problem("it holds no pictures")]
    expected = sorted(expected_classes(dataset).values()) if dataset.synsets else range(dataset.classes)
    beyond = sorted(number for number in counts if not 0 <= number < dataset.classes)
    if beyond:
        numbers = some([str(number) for number in beyond])
        return [Problem(f"labels go beyond the {dataset.classes:,} classes, 0 to {dataset.classes - 1:,}: {numbers}")]

    def shown(numbers: Sequence[int], more: str = "") -> str:
        return some([_shown(dataset, n, pictures.classes) + more.format(counts[n]) for n in numbers])

    problems = []
    if strangers := sorted(set(counts) - set(expected)):
        problems.append(Problem(f"labels are of classes that {dataset.title} does not have: {shown(strangers)}"))
    if missing := [number for number in expected if not counts[number]]:
        text = f"{len(missing):,} of {len(expected):,} classes have no pictures: {shown(missing)}"
        problems.append(Problem(text, excusable=True))
    if size := dataset.per_class:
        few = [n for n in expected if 0 < counts[n] < size]
        many = [n for n in expected if counts[n] > size]
        for wrong, than in ((few, "fewer"), (many, "more")):
            if wrong:
                what = f"{several(len(wrong), 'class has', 'classes have')} {than} than {size:,} pictures"
                problems.append(Problem(f"{what}: {shown(wrong, ' has {:,}')}", excusable=than == "fewer"))
    elif dataset.images and total != dataset.images and not missing:
        text = f"it holds {total:,} pictures, not {dataset.images:,}"
        problems.append(Problem(text, excusable=total < dataset.images))
    return problems


def _shown(dataset: PictureSet, number: int, names: Sequence[str]) -> str:
    if dataset.synsets:
        return synsets.described(names[number])
    return names[number] if number < len(names) else str(number)


def _class_problems(dataset: PictureSet, found: Scan, numbers: Mapping[str, int]) -> list[Problem]:
    """Return the problems with the class folders themselves."""
    no_class = f"no class of {dataset.title}"
    unknown = [name for name in found.classes if name not in numbers]
    problems = problem(unknown, f"folder is {no_class}", f"folders are {no_class}", excusable=bool(numbers))
    doubled = [number for number, count in Counter(numbers.values()).items() if count > 1]
    if doubled:
        twice = some([" and ".join(n for n in numbers if numbers[n] == number) for number in doubled])
        problems.append(Problem(f"a class has two folders: {twice}"))
    if dataset.layout == "any":
        empty = [name for name, entries in found.classes.items() if not entries]
        problems += problem(empty, "class folder holds", "class folders hold", "no pictures", excusable=False)
    elif dataset.layout == "synsets" and not dataset.subset:
        problems += _repeated_names(found, numbers)
    return problems


def _repeated_names(found: Scan, numbers: Mapping[str, int]) -> list[Problem]:
    """Return the pictures of ImageNet val that lie in several classes: each has one, and a name of its own."""
    entries = [entry.name for name in numbers for entry in found.classes[name]]
    places = grouped(entries, lambda entry: entry.rpartition("/")[2])
    folders = {picture: [entry.rpartition("/")[0] for entry in inside] for picture, inside in places.items()}
    twice = [f"{picture} in {' and '.join(where)}" for picture, where in folders.items() if len(where) > 1]
    return problem(twice, "picture lies", "pictures lie", "in more than one class", excusable=False)


def _copied(dataset: PictureSet, found: Scan, source: Source) -> list[Problem]:
    """Return the class folders that hold the same pictures; in ImageNet val their names tell, whatever they hold."""
    if dataset.layout in ("synsets", "corruptions") and not dataset.subset:
        return []
    members = {name: [(e.name.rpartition("/")[2], e.size) for e in entries] for name, entries in found.classes.items()}
    starts = dict(zip(members, accumulate(map(len, members.values()), initial=0), strict=False))
    return copied(members, lambda name, position: source.encoded(starts[name] + position), "class folders")


Content = Sequence[tuple[str, int]]
"""The files of a folder in order: their names in it, and their sizes."""


def copies(folders: Mapping[str, Content], read: Callable[[str, int], bytes]) -> list[list[str]]:
    """Return the groups of folders whose files have the same names, sizes and contents.

    Files are read only of folders whose names and sizes agree, and no further than to the first difference.

    Args:
        folders: the content of each.
        read: returns the content of the file at a position in a folder; a file that it cannot read is like no other.
    """
    found = []
    for content, names in grouped(folders, lambda folder: tuple(folders[folder])).items():
        groups = [names] if content and len(names) > 1 else []
        for position in range(len(content)):
            groups = [same for group in groups for same in _same(group, position, read)]
        found += groups
    return found


def _same(folders: list[str], position: int, read: Callable[[str, int], bytes]) -> list[list[str]]:
    """Return those of some folders whose files at a position have the same content, in groups of two and more."""

    def content(folder: str) -> bytes | str:
        try:
            return hashlib.sha256(read(folder, position)).digest()
        except OSError:
            return folder

    return [group for group in grouped(folders, content).values() if len(group) > 1]


def copied(folders: Mapping[str, Content], read: Callable[[str, int], bytes], kind: str) -> list[Problem]:
    """Return the problem that folders are :func:`copies` of one another; ``kind`` is their name in sentences."""
    same = [" and ".join(group[:2]) for group in copies(folders, read)]
    return [Problem(f"{kind} hold the very same pictures: {some(same)}", excusable=True)] if same else []


def _flat(found: Scan) -> list[Problem]:
    """Return the problem of ImageNet val as it comes: one folder of pictures whose classes stand in the devkit."""
    if found.classes or not found.loose or not all(OFFICIAL.fullmatch(entry.name) for entry in found.loose):
        return []
    how = "sort them into class folders with torchvision.datasets.ImageNet (it reads the devkit) or valprep.sh"
    return [Problem(f"the names of its pictures do not tell their classes: {how}")]


def _notes(dataset: PictureSet, found: Scan) -> list[str]:
    notes = []
    if found.ignored:
        files = several(len(found.ignored), "file", "files")
        notes.append(f"{files} beside the pictures ignored: {some(found.ignored)}")
    if dataset.layout == "any" and sorted(found.classes) != (order := sorted(found.classes, key=natural)):
        notes.append(
            f"classes are numbered by the numbers in their names: {some(order)}; torchvision's ImageFolder sorts them "
            "as text, so that weights trained with it would not match"
        )
    return notes


def hint(dataset: PictureSet, root: Path, found: Scan | None) -> str:
    """Return the other data set that a folder looks like, as the end of a sentence; empty if nothing tells."""
    name = _looks_like(root, found)
    if not name or name == dataset.name:
        return ""
    if name == "folder" and found is not None and class_numbers(dataset, found):
        return ""
    if name in dataset.siblings:
        return f"it looks like {dataset.siblings[name]} (--dataset {name})"
    return f"it looks like {name}"


def _looks_like(root: Path, found: Scan | None) -> str:
    for file, name in (
        ("cifar-10-batches-py", "cifar10"),
        ("cifar-100-python", "cifar100"),
        ("data_batch_1", "cifar10"),
        ("t10k-images-idx3-ubyte", "fashion-mnist"),
        ("t10k-images-idx3-ubyte.gz", "fashion-mnist"),
        ("FashionMNIST", "fashion-mnist"),
        ("gaussian_noise", "imagenet-c"),
        ("noise", "imagenet-c"),
        ("wnids.txt", "Tiny ImageNet"),
    ):
        if (root / file).exists():
            return name
    if found is None or not found.classes:
        return ""
    names = set(found.classes)
    counts = [len(entries) for entries in found.classes.values()]
    if names == set(synsets.subset("a")):
        return "imagenet-a"
    if names == set(synsets.subset("r")):
        return "imagenet-r"
    if all(_NUMBER.fullmatch(name) for name in names) and len(names) == 1000:
        return "imagenet-v2" if max(counts) <= 10 else "folder"
    if names <= set(synsets.indices()):
        if max(counts) > 300:
            return "the training split"
        return "imagenet" if max(counts) == 50 and len(names) == 1000 else ""
    if any(place.endswith("/images") for place in found.odd["nested"]):
        return "Tiny ImageNet"
    return "" if names & set(synsets.indices()) else "folder"
