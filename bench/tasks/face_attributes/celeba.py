"""Reads CelebA: text files of attributes, the partition and identities beside folders of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.face_attributes.catalogue import ATTRIBUTES, FaceSet
from claimbench.bench.tasks.face_attributes.faces import PARTS, Faces, apart, check_name

_FOLDERS = ("img_celeba", "Img/img_celeba", "img_align_celeba", "Img/img_align_celeba", "Img/img_align_celeba_png")


def celeba(dataset: FaceSet, root: Path, part: str) -> Faces:
    """Return the faces of one part.

    Raises:
        UserError: a list or the folder of pictures is missing, or a list is damaged; one sentence.
    """
    listing = _listing(dataset, root, "list_attr_celeba.txt")
    names, labels = _attributes(listing)
    of_part = _numbers(_listing(dataset, root, "list_eval_partition.txt"), names, len(PARTS))
    notes = _check_identities(dataset, root, names, of_part)
    folder = next((root / name for name in _FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"{root} has no folder img_celeba or img_align_celeba: give {dataset.needs} with --data")
    if "align" in folder.name:
        notes.append(f"{folder} holds aligned crops: LNets+ANet and PANDA-w saw whole pictures")
    suffix = ".png" if folder.name.endswith("_png") else ""
    files = tuple(folder / (Path(name).stem + suffix if suffix else name) for name in names)
    own = np.flatnonzero(of_part == PARTS.index(part))
    return Faces(names, files, labels, tuple(notes)).chosen(own.tolist())


def _listing(dataset: FaceSet, root: Path, name: str, optional: bool = False) -> Path:
    places = (root / inside / name for inside in ("", "Anno", "Eval"))
    found = next((place for place in places if place.is_file()), None)
    if found is None and not optional:
        raise UserError(f"{root} has no {name}, neither itself nor in Anno/ or Eval/: give {dataset.needs} with --data")
    return found or root / name


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error})") from error


def _attributes(file: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of pictures and their attributes (N, 40): a line each behind the count and the titles."""
    lines = _lines(file)
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise UserError(f"{file} must begin with the number of faces and the names of the attributes")
    titles = tuple(lines[1].split())
    if titles != ATTRIBUTES:
        odd = next((title for title in titles if title not in ATTRIBUTES), f"{len(titles)} names")
        raise UserError(f"{file} must name the {len(ATTRIBUTES)} attributes of CelebA in its second line, found {odd}")
    rows = [(number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip()]
    for number, cells in rows:
        if len(cells) != 1 + len(ATTRIBUTES) or not {*cells[1:]} <= {"1", "-1"}:
            raise UserError(f"{file}, line {number}: needs a name and {len(ATTRIBUTES)} labels that are 1 or -1")
        check_name(file, cells[0])
    if len(rows) != int(lines[0]):
        raise UserError(f"{file} says that it lists {int(lines[0]):,} faces, and lists {len(rows):,}")
    names = tuple(cells[0] for _, cells in rows)
    if len(set(names)) < len(names):
        raise UserError(f"{file} lists a face twice")
    labels = np.array([[cell == "1" for cell in cells[1:]] for _, cells in rows], bool)
    return names, labels.reshape(-1, len(ATTRIBUTES))


def _numbers(file: Path, names: Sequence[str], below: int | None = None) -> np.ndarray:
    """Return the number that a list gives to each picture."""
    found: dict[str, int] = {}
    for number, line in enumerate(_lines(file), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or not cells[1].isdigit() or (below is not None and int(cells[1]) >= below):
            least = "a number" if below is None else f"a number from 0 to {below - 1}"
            raise UserError(f"{file}, line {number}: needs a name and {least}")
        found[cells[0]] = int(cells[1])
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{file} lacks {missing[0]} (and {len(missing) - 1:,} more)")
    return np.array([found[name] for name in names], np.int64)


def _check_identities(dataset: FaceSet, root: Path, names: Sequence[str], of_part: np.ndarray) -> list[str]:
    """Check that no identity is in two parts; return a note if that cannot be checked."""
    file = _listing(dataset, root, "identity_CelebA.txt", optional=True)
    if not file.is_file():
        return [f"the split by identity was not checked: {root} has no identity_CelebA.txt"]
    apart(file, _numbers(file, names), of_part)
    return []
