"""Opens a data set wherever it lies: a folder, an archive, shards, a saved table or a package."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import orjson

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.text import several, some
from claimbench.bench.data.pictures import archive, copies, synsets
from claimbench.bench.data.pictures.collection import Pictures, Problem, Source
from claimbench.bench.data.pictures.hub import is_hub, open_hub
from claimbench.bench.data.pictures.labelled import CORRUPTIONS, SEVERITIES, DataSet
from claimbench.bench.data.pictures.listing import OFFICIAL, class_names, folder_names, from_scan, hint
from claimbench.bench.data.pictures.packaged import open_packaged
from claimbench.bench.data.pictures.scan import Entry, Scan, class_root, scan
from claimbench.bench.data.pictures.sources import Chosen, Files

REAL_FILE = "real.json"
REAL_IMAGES = 50_000


def open_pictures(dataset: DataSet, data: str) -> Pictures:
    """Return the pictures of a data set, in the fixed order in which they are evaluated, with what is wrong with them.

    Args:
        dataset: which.
        data: the folder, archive or name that the user gave; may be empty where a package holds the data.

    Raises:
        UserError: there is nothing there that could be read at all.
    """
    if dataset.has_package:
        return open_packaged(dataset, None)
    if not data:
        raise UserError(f"{dataset.title} needs --data: {dataset.needs}")
    if is_hub(data):
        return open_hub(dataset, data)
    path = Path(data)
    if not path.exists():
        raise UserError(f"data folder {data} does not exist")
    if dataset.layout == "torchvision":
        return open_packaged(dataset, path)
    if dataset.layout == "corruptions":
        return _corruptions(dataset, path)
    return _real(dataset, path) if dataset.several_labels else _classes(dataset, path)


def _classes(dataset: DataSet, path: Path) -> Pictures:
    """Return the pictures of class folders, on the disk or in archives, or of WebDataset shards."""
    archives = archive.archives_in(path)
    if not archives:
        return _hinted(dataset, path, *_scanned(dataset, path))
    found = archive.index(archives)
    if found.is_webdataset():
        return _shards(dataset, path, found)
    listing, members = archive.as_scan(found, path, folder_names(dataset))
    pictures = _hinted(dataset, path, listing, from_scan(dataset, listing, members))
    pictures.problems[:0] = found.problems
    return pictures


def _scanned(dataset: DataSet, path: Path) -> tuple[Scan, Pictures]:
    root = class_root(path, folder_names(dataset))
    found = scan(root)
    return found, from_scan(dataset, found, Files(root, [entry.name for entry in found.entries()]))


def _hinted(dataset: DataSet, path: Path, found: Scan, pictures: Pictures) -> Pictures:
    """Add what else the folder looks like, where something is wrong with it."""
    if not len(pictures) and not pictures.problems:
        pictures.problems.append(Problem("it holds no pictures in class folders"))
    if pictures.problems or (dataset.images and dataset.images != len(pictures)):
        other = hint(dataset, path, None) or hint(dataset, found.root, found)
        pictures.problems += [Problem(other)] if other else []
    return pictures


def _shards(dataset: DataSet, path: Path, found: archive.Index) -> Pictures:
    samples = archive.as_shards(found)
    return Pictures(
        names=samples.names,
        labels=[(label,) for label in samples.labels],
        classes=class_names(dataset),
        source=samples.source,
        stamps=samples.stamps,
        place=str(path),
        problems=[*found.problems, *samples.problems],
        expected=dataset.images,
    )


def _real(dataset: DataSet, path: Path) -> Pictures:
    """Return the pictures of ImageNet val with ReaL's labels, which are found by the files' numbers."""
    file = next((f for f in (path / REAL_FILE, path.parent / REAL_FILE) if f.is_file()), synsets.real_labels_file())
    answers = _real_labels(file)
    archives = archive.archives_in(path)
    if archives:
        index = archive.index(archives)
        listing, reader = archive.as_scan(index, path, synsets.SYNSET)
        entries: list[Entry] = [*listing.entries(), *listing.loose]
        source: Source = reader
        problems = index.problems
    else:
        listing = scan(class_root(path, synsets.SYNSET))
        entries = [*listing.entries(), *listing.loose]
        source = Files(listing.root, [entry.name for entry in entries])
        problems = []
    numbered = [(int(match[1]), at) for at, e in enumerate(entries) if (match := _official(e.name))]
    numbered = sorted((number, at) for number, at in numbered if 1 <= number <= REAL_IMAGES)
    unused = len(entries) - len(numbered)
    problems = [*problems, *_real_problems(entries, [number for number, _ in numbered])]
    numbered = [(number, at) for number, at in numbered if answers[number - 1]]
    chosen = [at for _, at in numbered]
    return Pictures(
        names=[entries[at].name for at in chosen],
        labels=[tuple(answers[number - 1]) for number, _ in numbered],
        classes=list(synsets.indices()),
        source=Chosen(source, chosen),
        stamps=[(entries[at].size, entries[at].changed) for at in chosen],
        place=str(listing.root),
        problems=problems,
        notes=[f"labels of {file}"],
        expected=sum(bool(labels) for labels in answers),
        left_out=unused,
    )


def _official(name: str) -> re.Match[str] | None:
    return OFFICIAL.fullmatch(name.rpartition("/")[2])


def _real_problems(entries: list[Entry], numbers: list[int]) -> list[Problem]:
    unnamed = [entry.name for entry in entries if not _official(entry.name)]
    problems = []
    if unnamed:
        what = several(len(unnamed), "picture is not", "pictures are not")
        problems.append(Problem(f"{what} named ILSVRC2012_val_NUMBER.JPEG: {some(unnamed)}", excusable=True))
    missing = sorted(set(range(1, REAL_IMAGES + 1)) - set(numbers))
    if missing:
        shown = some([f"ILSVRC2012_val_{number:08d}" for number in missing])
        problems.append(Problem(f"{len(missing):,} of {REAL_IMAGES:,} pictures are missing: {shown}", excusable=True))
    repeated = sorted({number for number, after in pairwise(numbers) if number == after})
    if repeated:
        shown = some([f"ILSVRC2012_val_{number:08d}" for number in repeated])
        problems.append(Problem(f"{several(len(repeated), 'picture is', 'pictures are')} there twice: {shown}"))
    return problems


def _real_labels(file: Path) -> list[list[int]]:
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error})") from error
    good = isinstance(found, list) and len(found) == REAL_IMAGES
    if not good or not all(
        isinstance(one, list) and all(isinstance(n, int) and 0 <= n < 1000 for n in one) for one in found
    ):
        raise UserError(f"{file} does not hold ReaL's labels: a list of classes for each of {REAL_IMAGES:,} pictures")
    return found


def _corruptions(dataset: DataSet, path: Path) -> Pictures:
    """Return the pictures of every corruption and severity, named ``corruption/severity/class/file``."""
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: {dataset.title} needs {dataset.needs}")
    whole = Pictures([], [], list(synsets.indices()), Files(path, []), place=str(path), expected=dataset.images)
    names: list[str] = []
    absent = []
    parts: dict[str, list[tuple[str, int]]] = {}
    roots: dict[str, Path] = {}
    for corruption in CORRUPTIONS:
        places = [path / corruption, *sorted(path.glob(f"*/{corruption}")), *sorted(path.glob(f"*/*/{corruption}"))]
        folder = next((f for f in places if f.is_dir()), None)
        for severity in SEVERITIES:
            if folder is None or not (folder / severity).is_dir():
                absent.append(f"{corruption}/{severity}")
                continue
            root = folder / severity
            found = scan(root)
            part = from_scan(dataset, found, Files(root, [entry.name for entry in found.entries()]))
            kept = [str((root / name).relative_to(path)) for name in part.names]
            names += kept
            whole.names += [f"{corruption}/{severity}/{name}" for name in part.names]
            whole.labels += part.labels
            whole.stamps += part.stamps
            whole.left_out += part.left_out
            problems = [*part.problems, *_balanced(dataset, part)]
            whole.problems += [Problem(f"{corruption}/{severity}: {p.text}", p.excusable) for p in problems]
            parts[f"{corruption}/{severity}"] = [(entry.name, entry.size) for entry in found.entries()]
            roots[f"{corruption}/{severity}"] = root
    if absent:
        text = f"{len(absent)} of {len(CORRUPTIONS) * len(SEVERITIES)} corruptions and severities are missing"
        whole.problems.insert(0, Problem(f"{text}: {some(absent)}", excusable=len(names) > 0))
    if not names and (other := hint(dataset, path, None)):
        whole.problems.append(Problem(other))
    whole.source = Files(path, names)
    whole.problems += copies.problems(
        parts, lambda part, position: (roots[part] / parts[part][position][0]).read_bytes(), "different corruptions"
    )
    return whole


def _balanced(dataset: DataSet, part: Pictures) -> list[Problem]:
    from claimbench.bench.data.pictures.listing import count_problems

    return count_problems(dataset, part.labels, part.classes)
