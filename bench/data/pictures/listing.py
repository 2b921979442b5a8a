"""From what lies in a folder or an archive to pictures with labels, and to what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from claimbench.bench.core.text import several, some
from claimbench.bench.data.pictures import copies, synsets
from claimbench.bench.data.pictures.collection import Encoded, Pictures, Problem
from claimbench.bench.data.pictures.labelled import DataSet
from claimbench.bench.data.pictures.scan import Entry, Scan, natural

_NUMBER = re.compile(r"\d{1,4}")
OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})\.(?:JPEG|jpeg|jpg|png)")
"""How the pictures of ImageNet val are named."""


def folder_names(dataset: DataSet) -> re.Pattern[str] | None:
    """Return what the names of a data set's class folders look like; None for anything."""
    if dataset.layout == "indices":
        return re.compile(rf"{_NUMBER.pattern}|{synsets.SYNSET.pattern}")
    return synsets.SYNSET if dataset.synsets else None


def from_scan(dataset: DataSet, found: Scan, source: Encoded) -> Pictures:
    """Return the pictures of class folders; ``source`` reads them in the order of ``found.entries()``."""
    numbers = class_numbers(dataset, found)
    entries: list[Entry] = []
    labels: list[tuple[int, ...]] = []
    kept: list[int] = []
    problems: list[Problem] = []
    position = 0
    for name, members in found.classes.items():
        if name in numbers:
            entries += members
            labels += [(numbers[name],)] * len(members)
            kept += range(position, position + len(members))
        position += len(members)
    left_out = len(found.strays) + len(found.loose) + position - len(kept)
    problems += _class_problems(dataset, found, numbers)
    problems += _odd_problems(found)
    problems += _copied(dataset, found, source)
    if len(kept) < position:
        from claimbench.bench.data.pictures.sources import Chosen

        source = Chosen(source, kept)
    return Pictures(
        names=[entry.name for entry in entries],
        labels=labels,
        classes=class_names(dataset, found),
        source=source,
        stamps=[(entry.size, entry.changed) for entry in entries],
        place=str(found.root),
        problems=problems,
        notes=_notes(dataset, found),
        expected=dataset.images,
        left_out=left_out,
    )


def class_numbers(dataset: DataSet, found: Scan) -> dict[str, int]:
    """Return the number of each class folder that is a class of the data set."""
    if dataset.layout == "any":
        return {name: number for number, name in enumerate(sorted(found.classes, key=natural))}
    known = expected_classes(dataset)
    named = {name: known[name] for name in found.classes if name in known}
    if dataset.layout == "indices":
        named |= {name: int(name) for name in found.classes if _NUMBER.fullmatch(name) and int(name) < 1000}
    return named


def class_names(dataset: DataSet, found: Scan | None = None) -> Sequence[str]:
    """Return the names of the classes, by number."""
    if dataset.synsets:
        return list(synsets.indices())
    return sorted(found.classes, key=natural) if found is not None else []


def expected_classes(dataset: DataSet) -> Mapping[str, int]:
    """Return the number of each class of an ImageNet-like data set, by WordNet id."""
    if not dataset.subset:
        return synsets.indices()
    return {synset: synsets.indices()[synset] for synset in synsets.subset(dataset.subset)}


def count_problems(dataset: DataSet, labels: Iterable[tuple[int, ...]], names: Sequence[str]) -> list[Problem]:
    """Return what is wrong with the number of pictures: in all, and of each class."""
    counts = Counter(label[0] for label in labels)
    total = sum(counts.values())
    if dataset.classes is None:
        return [] if total else [Problem("it holds no pictures")]
    expected = sorted(expected_classes(dataset).values()) if dataset.synsets else range(dataset.classes)
    beyond = sorted(number for number in counts if not 0 <= number < dataset.classes)
    if beyond:
        numbers = some([str(number) for number in beyond])
        return [Problem(f"labels go beyond the {dataset.classes:,} classes, 0 to {dataset.classes - 1:,}: {numbers}")]
    problems = []
    strangers = sorted(set(counts) - set(expected))
    if strangers:
        numbers = some([_shown(dataset, number, names) for number in strangers])
        problems.append(Problem(f"labels are of classes that {dataset.title} does not have: {numbers}"))
    missing = [number for number in expected if not counts[number]]
    if missing:
        shown = some([_shown(dataset, number, names) for number in missing])
        problems.append(
            Problem(f"{len(missing):,} of {len(expected):,} classes have no pictures: {shown}", excusable=True)
        )
    if dataset.per_class:
        size = dataset.per_class
        few = [n for n in expected if 0 < counts[n] < size]
        many = [n for n in expected if counts[n] > size]
        for wrong, excusable in ((few, True), (many, False)):
            if wrong:
                shown = some([f"{_shown(dataset, n, names)} has {counts[n]:,}" for n in wrong])
                what = several(len(wrong), "class has", "classes have") + (" fewer" if excusable else " more")
                problems.append(Problem(f"{what} than {size:,} pictures: {shown}", excusable))
    elif dataset.images and total != dataset.images and not missing:
        problems.append(
            Problem(f"it holds {total:,} pictures, not {dataset.images:,}", excusable=total < dataset.images)
        )
    return problems


def _shown(dataset: DataSet, number: int, names: Sequence[str]) -> str:
    if dataset.synsets:
        return synsets.described(names[number])
    return names[number] if number < len(names) else str(number)


def _class_problems(dataset: DataSet, found: Scan, numbers: Mapping[str, int]) -> list[Problem]:
    """Return what is wrong with the class folders themselves."""
    problems = []
    unknown = [name for name in found.classes if name not in numbers]
    if unknown and dataset.layout != "any":
        what = several(
            len(unknown), f"folder is no class of {dataset.title}", f"folders are no class of {dataset.title}"
        )
        problems.append(Problem(f"{what}: {some(unknown)}", excusable=bool(numbers)))
    doubled = [name for name, count in Counter(numbers.values()).items() if count > 1]
    if doubled:
        twice = some([" and ".join(n for n in numbers if numbers[n] == number) for number in doubled])
        problems.append(Problem(f"a class has two folders: {twice}"))
    if dataset.layout == "any":
        empty = [name for name, entries in found.classes.items() if not entries]
        if empty:
            problems.append(
                Problem(f"{several(len(empty), 'class folder holds', 'class folders hold')} no pictures: {some(empty)}")
            )
    elif dataset.layout == "synsets" and not dataset.subset:
        problems += _repeated_names(found, numbers)
    return problems


def _repeated_names(found: Scan, numbers: Mapping[str, int]) -> list[Problem]:
    """Return the pictures of ImageNet val that lie in several classes: each has one, and a name of its own."""
    places = defaultdict(list)
    for name in numbers:
        for entry in found.classes[name]:
            places[entry.name.rpartition("/")[2]].append(name)
    twice = [f"{picture} in {' and '.join(where)}" for picture, where in places.items() if len(where) > 1]
    if not twice:
        return []
    what = several(len(twice), "picture lies in more than one class", "pictures lie in more than one class")
    return [Problem(f"{what}: {some(twice)}")]


def _copied(dataset: DataSet, found: Scan, source: Encoded) -> list[Problem]:
    """Return the class folders that hold the same pictures; in ImageNet val their names tell, whatever they hold."""
    if dataset.layout in ("synsets", "corruptions") and not dataset.subset:
        return []
    members = {name: [(e.name.rpartition("/")[2], e.size) for e in entries] for name, entries in found.classes.items()}
    starts = dict(zip(members, accumulate(map(len, members.values()), initial=0), strict=False))
    return copies.problems(members, lambda name, position: source.encoded(starts[name] + position), "class folders")


def _odd_problems(found: Scan) -> list[Problem]:
    """Return what lies in the folders and should not."""
    loose = [entry.name for entry in found.loose]
    kinds = (
        (loose, "picture lies", "pictures lie", "in no class folder", True),
        (found.strays, "file in a class folder is", "files in class folders are", "no picture", True),
        (found.nested, "folder lies", "folders lie", "inside a class folder", True),
        (found.dangling, "link points", "links point", "nowhere", True),
        (found.loops, "link leads", "links lead", "in a circle", True),
        (found.denied, "file or folder", "files or folders", "may not be read (permission denied)", True),
        ([f"{a} and {b}" for a, b in found.twins], "pair of class folders is", "pairs are", "one and the same", False),
    )
    return [
        Problem(f"{several(len(names), one, many)} {rest}: {some(names)}", excusable)
        for names, one, many, rest, excusable in kinds
        if names
    ] + _flat(found)


def _flat(found: Scan) -> list[Problem]:
    """Say what to do with ImageNet val as it comes: one folder of pictures whose classes stand in the devkit."""
    if found.classes or not found.loose or not all(OFFICIAL.fullmatch(entry.name) for entry in found.loose):
        return []
    how = "sort them into class folders with torchvision.datasets.ImageNet (it reads the devkit) or valprep.sh"
    return [Problem(f"the names of its pictures do not tell their classes: {how}")]


def _notes(dataset: DataSet, found: Scan) -> list[str]:
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


def hint(dataset: DataSet, root: Path, found: Scan | None) -> str:
    """Return which other data set a folder looks like, as the end of a sentence; empty where nothing tells."""
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
    if any(place.endswith("/images") for place in found.nested):
        return "Tiny ImageNet"
    return "" if names & set(synsets.indices()) else "folder"
