"""Finds the pictures and label maps of a data set of human parsing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.masked import MaskedPicture, beside
from claimbench.bench.data.pictures.scan import is_hidden
from claimbench.bench.tasks.human_parsing.catalogue import ParsedSet


@dataclass(frozen=True)
class People:
    """The pictures to score on.

    Attributes:
        pairs: each with its label map, by name.
        whole: the number of pictures in the folder, scored or not.
        notes: cautions for the user.
    """

    pairs: tuple[MaskedPicture, ...]
    whole: int
    notes: tuple[str, ...] = ()


def find(dataset: ParsedSet, place: str, *, partial: bool = False) -> People:
    """Return the pictures of a data set's test part, or of a folder; no file is opened.

    Args:
        dataset: the data set.
        place: its folder.
        partial: whether to go on if pictures of the data set are missing.

    Raises:
        UserError: the folder is not laid out as the data set is, or has other pictures; one sentence.
    """
    root = Path(place).expanduser()
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give {dataset.needs} with --data")
    try:
        found = _atr(dataset, root, partial) if dataset.pictures else _folder(dataset, root)
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read ({error.strerror or error})") from error
    if not found.pairs:
        raise UserError(f"{place} holds no pictures of {dataset.title}: give {dataset.needs} with --data")
    return found


def meaning(labels: int) -> Mapping[int, int]:
    """Return the label of each value that a label map may hold: the value itself."""
    return {label: label for label in range(labels)}


def _inside(dataset: ParsedSet, root: Path, *names: str) -> list[Path]:
    for name in names:
        if not (root / name).is_dir():
            raise UserError(f"{root} has no folder {name}: give {dataset.needs} with --data")
    return [root / name for name in names]


def _folder(dataset: ParsedSet, root: Path) -> People:
    pairs = beside(*_inside(dataset, root, "images", "masks"))
    return People(pairs, len(pairs))


def _atr(dataset: ParsedSet, root: Path, partial: bool) -> People:
    inner = root / "humanparsing"
    root = inner if inner.is_dir() else root
    pictures, masks = _inside(dataset, root, "JPEGImages", "SegmentationClassAug")
    whole = sum(file.suffix == ".jpg" and not is_hidden(file.name) for file in pictures.iterdir())
    names = _test_part(dataset, root)
    pairs = tuple(MaskedPicture(name, pictures / f"{name}.jpg", masks / f"{name}.png") for name in names)
    if whole == dataset.larger:
        text = (
            f"{root} holds {whole:,} pictures, which is ATR with the 10,000 of Co-CNN: scores on it are not comparable"
        )
        return People(pairs, whole, (f"{text} with those published on {dataset.pictures:,}",))
    if whole != dataset.pictures and not partial:
        raise UserError(
            f"{root} holds {whole:,} pictures where {dataset.title} belongs to {dataset.pictures:,} "
            "(--partial evaluates what is there)"
        )
    return People(pairs, whole)


def _test_part(dataset: ParsedSet, root: Path) -> list[str]:
    """Return the names of the test part, each of which is a name and no path."""
    listing = root / "test.txt"
    try:
        names = listing.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{listing} cannot be read ({error}): give {dataset.needs} with --data") from error
    odd = next((name for name in names if Path(name).name != name or "\0" in name), None)
    if odd is not None:
        raise UserError(f"{listing} names {odd!r}, which is no name of a picture")
    return sorted({name.removesuffix(".jpg") for name in names})
