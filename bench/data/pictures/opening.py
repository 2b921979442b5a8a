"""Opens a data set wherever it lies: a folder, an archive, shards, a saved table or a package."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.text import some
from claimbench.bench.data.pictures import archive, synsets
from claimbench.bench.data.pictures.collection import Chosen, Files, Pictures, Problem, Source, problem
from claimbench.bench.data.pictures.hf_datasets import is_hub, open_hub
from claimbench.bench.data.pictures.labelled import CORRUPTIONS, SEVERITIES, PictureSet
from claimbench.bench.data.pictures.listing import (
    OFFICIAL,
    class_names,
    copied,
    count_problems,
    folder_names,
    from_scan,
    hint,
)
from claimbench.bench.data.pictures.packaged import open_packaged
from claimbench.bench.data.pictures.scan import DiskTree, Scan, class_root, scan

REAL_FILE = "real.json"
REAL_IMAGES = 50_000
_Class = Annotated[int, Field(ge=0, lt=1000)]
_REAL_LABELS = TypeAdapter(
    Annotated[list[list[_Class]], Field(min_length=REAL_IMAGES, max_length=REAL_IMAGES, fail_fast=True)]
)


def open_pictures(dataset: PictureSet, data: str) -> Pictures:
    """Return the pictures of a data set, in the fixed order in which they are evaluated, with their problems.

    Args:
        dataset: the data set.
        data: the folder, archive or name that the user gave; may be empty if a package holds the data.

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


def _classes(dataset: PictureSet, path: Path) -> Pictures:
    """Return the pictures of class folders, on the disk or in archives, or of WebDataset shards."""
    index = archive.index(archive.archives_in(path))
    if index.is_webdataset():
        samples = archive.as_samples(index, path)
        samples.classes, samples.expected = class_names(dataset), dataset.images
        return samples
    found, source = _listed(index, path, folder_names(dataset))
    pictures = _hinted(dataset, path, found, from_scan(dataset, found, source))
    pictures.problems[:0] = index.problems
    return pictures


def _listed(index: archive.Index, path: Path, named: re.Pattern[str] | None) -> tuple[Scan, Source]:
    """Return the content of class folders in archives, or on the disk if there are none, and its reader.

    The pictures that lie in no class folder are read after those of all classes.
    """
    if index.archives:
        return archive.as_scan(index, path, named)
    root = path.joinpath(*class_root(DiskTree(path), named, str(path)))
    found = scan(DiskTree(root), root)
    return found, Files(root, [entry.name for entry in [*found.entries(), *found.loose]])


def _hinted(dataset: PictureSet, path: Path, found: Scan, pictures: Pictures) -> Pictures:
    """Add the other data set that the folder looks like, if something is wrong with it."""
    if not len(pictures) and not pictures.problems:
        pictures.problems.append(Problem("it holds no pictures in class folders"))
    if pictures.problems or (dataset.images and dataset.images != len(pictures)):
        other = hint(dataset, path, None) or hint(dataset, found.root, found)
        pictures.problems += [Problem(other)] if other else []
    return pictures


def _real(dataset: PictureSet, path: Path) -> Pictures:
    """Return the pictures of ImageNet val with ReaL's labels, which are found by the files' numbers."""
    file = next((f for f in (path / REAL_FILE, path.parent / REAL_FILE) if f.is_file()), synsets.real_labels_file())
    answers = _real_labels(file)
    index = archive.index(archive.archives_in(path))
    found, source = _listed(index, path, synsets.SYNSET)
    entries = [*found.entries(), *found.loose]
    matches = [OFFICIAL.fullmatch(entry.name.rpartition("/")[2]) for entry in entries]
    numbered = sorted((int(match[1]), at) for at, match in enumerate(matches) if match)
    numbered = [(number, at) for number, at in numbered if 1 <= number <= REAL_IMAGES]
    counted = [(number, at) for number, at in numbered if answers[number - 1]]
    chosen = [at for _, at in counted]
    return Pictures(
        names=[entries[at].name for at in chosen],
        labels=[tuple(answers[number - 1]) for number, _ in counted],
        classes=class_names(dataset),
        source=Chosen(source, chosen),
        stamps=[(entries[at].size, entries[at].changed) for at in chosen],
        place=str(found.root),
        problems=[
            *index.problems,
            *problem(
                [entry.name for entry, match in zip(entries, matches, strict=True) if not match],
                "picture is not",
                "pictures are not",
                "named ILSVRC2012_val_NUMBER.JPEG",
            ),
            *_number_problems([number for number, _ in numbered]),
        ],
        notes=[f"labels of {file}"],
        expected=sum(bool(labels) for labels in answers),
        left_out=len(entries) - len(numbered),
    )


def _number_problems(numbers: list[int]) -> list[Problem]:
    """Return the problems with the numbers of ImageNet val's pictures, which come in ascending order."""
    problems = []
    missing = [f"ILSVRC2012_val_{number:08d}" for number in sorted(set(range(1, REAL_IMAGES + 1)) - set(numbers))]
    if missing:
        text = f"{len(missing):,} of {REAL_IMAGES:,} pictures are missing: {some(missing)}"
        problems.append(Problem(text, excusable=True))
    twice = [f"ILSVRC2012_val_{n:08d}" for n in sorted({n for n, after in pairwise(numbers) if n == after})]
    return problems + problem(twice, "picture is", "pictures are", "there twice", excusable=False)


def _real_labels(file: Path) -> list[list[int]]:
    try:
        return _REAL_LABELS.validate_python(orjson.loads(file.read_bytes()), strict=True)
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error})") from error
    except ValidationError as error:
        wanted = f"a list of classes for each of {REAL_IMAGES:,} pictures"
        raise UserError(f"{file} does not hold ReaL's labels: {wanted}") from error


def _corruptions(dataset: PictureSet, path: Path) -> Pictures:
    """Return the pictures of every corruption and severity, named ``corruption/severity/class/file``."""
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: {dataset.title} needs {dataset.needs}")
    whole = Pictures([], [], class_names(dataset), Files(path, []), place=str(path), expected=dataset.images)
    files: list[str] = []
    content: dict[str, list[tuple[str, int]]] = {}
    folders = _severities(path)
    for name, root in folders.items():
        found = scan(DiskTree(root), root)
        content[name] = [(entry.name, entry.size) for entry in found.entries()]
        part = from_scan(dataset, found, Files(root, [file for file, _ in content[name]]))
        files += [str((root / file).relative_to(path)) for file in part.names]
        whole.names += [f"{name}/{file}" for file in part.names]
        whole.labels += part.labels
        whole.stamps += part.stamps
        whole.left_out += part.left_out
        problems = [*part.problems, *count_problems(dataset, part)]
        whole.problems += [Problem(f"{name}: {p.text}", p.excusable) for p in problems]
    wanted = [f"{corruption}/{severity}" for corruption in CORRUPTIONS for severity in SEVERITIES]
    absent = [name for name in wanted if name not in folders]
    if absent:
        text = f"{len(absent)} of {len(wanted)} corruptions and severities are missing: {some(absent)}"
        whole.problems.insert(0, Problem(text, excusable=len(files) > 0))
    if not files and (other := hint(dataset, path, None)):
        whole.problems.append(Problem(other))
    whole.source = Files(path, files)
    whole.problems += copied(
        content, lambda name, at: (folders[name] / content[name][at][0]).read_bytes(), "different corruptions"
    )
    return whole


def _severities(path: Path) -> dict[str, Path]:
    """Return the folder of each corruption and severity that is there, also below the groups of corruptions."""
    found: dict[str, Path] = {}
    for corruption in CORRUPTIONS:
        places = [path / corruption, *sorted(path.glob(f"*/{corruption}")), *sorted(path.glob(f"*/*/{corruption}"))]
        folder = next((f for f in places if f.is_dir()), None)
        if folder is not None:
            found |= {f"{corruption}/{s}": folder / s for s in SEVERITIES if (folder / s).is_dir()}
    return found
