"""Finds the pictures and masks of a data set in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures.masked import MaskedPicture, beside, labelled
from claimbench.bench.data.pictures.scan import is_hidden
from claimbench.bench.tasks.semantic_segmentation.catalogue import VOID, Masks


def find(dataset: Masks, data: str) -> tuple[MaskedPicture, ...]:
    """Return the pairs of a data set in the order of their names; the files themselves are not opened.

    Raises:
        UserError: the folder is not laid out as the data set is; one sentence.
    """
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give {dataset.needs} with --data")
    try:
        return _FINDERS[dataset.layout](dataset, root)
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read ({error.strerror or error})") from error


def _voc(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    return _listed(dataset, root, "VOC2012", "SegmentationClass", "Segmentation")


def _pascal_context(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    return _listed(dataset, root, "VOC2010", "SegmentationClassContext", "SegmentationContext")


def _listed(dataset: Masks, root: Path, year: str, masks: str, lists: str) -> tuple[MaskedPicture, ...]:
    """Return the pictures that a VOC devkit of a year lists for validation."""
    places = (root / sub for sub in ("", year, f"VOCdevkit/{year}"))
    inside = next((place for place in places if (place / "JPEGImages").is_dir()), root)
    listing = inside / "ImageSets" / lists / "val.txt"
    try:
        names = listing.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{listing} cannot be read ({_reason(error)}): give {dataset.needs} with --data") from error
    odd = next((name for name in names if Path(name).name != name or "\0" in name), None)
    if odd is not None:
        raise UserError(f"{listing} names {odd!r}, which is no name of a picture")
    return tuple(
        MaskedPicture(name, inside / "JPEGImages" / f"{name}.jpg", inside / masks / f"{name}.png")
        for name in sorted(set(names))
    )


def _cityscapes(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    pictures, masks = _inside(dataset, root, "leftImg8bit/val", "gtFine/val")
    ending = "_leftImg8bit.png"
    found = sorted(pictures.glob(f"*/*{ending}"))
    stems = [(file.parent.name, file.name.removesuffix(ending), file) for file in found]
    return tuple(MaskedPicture(stem, file, masks / city / f"{stem}_gtFine_labelIds.png") for city, stem, file in stems)


def _ade20k(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    inside = root / "ADEChallengeData2016" if (root / "ADEChallengeData2016").is_dir() else root
    return beside(*_inside(dataset, inside, "images/validation", "annotations/validation"))


def _coco_stuff(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    pictures, masks = _inside(dataset, root, "images/test2014", "annotations/test2014")
    files = sorted(file for file in pictures.glob("*.jpg") if not is_hidden(file.name))
    return tuple(MaskedPicture(file.stem, file, masks / f"{file.stem}_labelTrainIds.png") for file in files)


def _folder(dataset: Masks, root: Path) -> tuple[MaskedPicture, ...]:
    pictures, masks = _inside(dataset, root, "images", "masks")
    pairs = beside(pictures, masks)
    stems = {pair.name for pair in pairs}
    alone = sorted(f for f in masks.glob("*.png") if f.stem not in stems and not is_hidden(f.name))
    if pairs and alone:
        raise UserError(f"the mask {alone[0]} has no picture of its name in {pictures}: add that, or remove the mask")
    return pairs


_FINDERS = {
    "voc": _voc,
    "pascal-context": _pascal_context,
    "cityscapes": _cityscapes,
    "ade20k": _ade20k,
    "coco-stuff": _coco_stuff,
    "folder": _folder,
}


def _inside(dataset: Masks, root: Path, pictures: str, masks: str) -> tuple[Path, Path]:
    for name in (pictures, masks):
        if not (root / name).is_dir():
            raise UserError(f"{root} has no folder {name}: give {dataset.needs} with --data")
    return root / pictures, root / masks


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "it is not UTF-8 text"


def both(pair: MaskedPicture, dataset: Masks, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, 3) and its mask (H, W): class numbers, :data:`VOID` where a pixel does not count.

    Raises:
        UserError: a file cannot be read or is not as the data set's are; names it.
    """
    return labelled(pair, dataset.values(classes), dataset.title)


def listed(dataset: Masks, data: str, classes: int, *, partial: bool = False) -> tuple[MaskedPicture, ...]:
    """Return the pairs of a data set, by name; no file is opened.

    Args:
        dataset: the data set.
        data: its folder.
        classes: the number that the model tells apart.
        partial: whether to go on if pictures of the data set are missing.

    Raises:
        UserError: there are none, or not as many as there must be, or the model has other classes; one sentence.
    """
    if dataset.classes and classes != len(dataset.classes):
        raise UserError(f"{dataset.title} has {len(dataset.classes)} classes and the model {classes}")
    pairs = find(dataset, data)
    if not pairs:
        raise UserError(f"{data} holds no pictures of {dataset.title}")
    if dataset.pictures and len(pairs) != dataset.pictures and not partial:
        raise UserError(
            f"{data} lists {len(pairs):,} pictures where {dataset.title} has {dataset.pictures:,} "
            "(--partial evaluates what is there)"
        )
    return pairs


def checked(
    dataset: Masks, data: str, classes: int, *, partial: bool = False, listener: Listener = SILENT
) -> tuple[MaskedPicture, ...]:
    """Return the pairs of a data set, all of whose files are as expected; arguments as :func:`listed`.

    Args:
        listener: told the number of files that were read, and of all.

    Raises:
        UserError: something is wrong, or no pixel has a label; one sentence names the file.
    """
    pairs = listed(dataset, data, classes, partial=partial)
    counted = False
    for number, pair in enumerate(pairs):
        labels = both(pair, dataset, classes)[1]
        counted = counted or bool((labels != VOID).any())
        listener.at(number + 1, len(pairs))
    if not counted:
        raise UserError(f"no pixel counts in the masks of {data}: all of them are void ({VOID}) everywhere")
    return pairs
