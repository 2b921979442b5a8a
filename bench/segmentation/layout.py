"""Finds the pictures and masks of a data set in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.collection import EXTENSIONS
from claimbench.bench.data.pictures.scan import is_hidden
from claimbench.bench.segmentation.catalogue import Masks


@dataclass(frozen=True)
class Pair:
    """A picture and where its mask must be.

    Attributes:
        name: what messages and tables call it.
        picture, mask: the files.
    """

    name: str
    picture: Path
    mask: Path


def find(dataset: Masks, data: str) -> tuple[Pair, ...]:
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


def _voc(dataset: Masks, root: Path) -> tuple[Pair, ...]:
    inside = next(
        (root / sub for sub in ("", "VOC2012", "VOCdevkit/VOC2012") if (root / sub / "JPEGImages").is_dir()), root
    )
    listing = inside / "ImageSets" / "Segmentation" / "val.txt"
    try:
        names = listing.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{listing} cannot be read ({_reason(error)}): give {dataset.needs} with --data") from error
    odd = next((name for name in names if Path(name).name != name or "\0" in name), None)
    if odd is not None:
        raise UserError(f"{listing} names {odd!r}, which is no name of a picture")
    return tuple(
        Pair(name, inside / "JPEGImages" / f"{name}.jpg", inside / "SegmentationClass" / f"{name}.png")
        for name in sorted(set(names))
    )


def _cityscapes(dataset: Masks, root: Path) -> tuple[Pair, ...]:
    pictures, masks = _inside(dataset, root, "leftImg8bit/val", "gtFine/val")
    ending = "_leftImg8bit.png"
    found = sorted(pictures.glob(f"*/*{ending}"))
    stems = [(file.parent.name, file.name.removesuffix(ending), file) for file in found]
    return tuple(Pair(stem, file, masks / city / f"{stem}_gtFine_labelIds.png") for city, stem, file in stems)


def _ade20k(dataset: Masks, root: Path) -> tuple[Pair, ...]:
    inside = root / "ADEChallengeData2016" if (root / "ADEChallengeData2016").is_dir() else root
    return _beside(*_inside(dataset, inside, "images/validation", "annotations/validation"))


def _folder(dataset: Masks, root: Path) -> tuple[Pair, ...]:
    pictures, masks = _inside(dataset, root, "images", "masks")
    pairs = _beside(pictures, masks)
    stems = {pair.name for pair in pairs}
    alone = sorted(f for f in masks.glob("*.png") if f.stem not in stems and not is_hidden(f.name))
    if pairs and alone:
        raise UserError(f"the mask {alone[0]} has no picture of its name in {pictures}: add that, or remove the mask")
    return pairs


_FINDERS = {"voc": _voc, "cityscapes": _cityscapes, "ade20k": _ade20k, "folder": _folder}


def _inside(dataset: Masks, root: Path, pictures: str, masks: str) -> tuple[Path, Path]:
    for name in (pictures, masks):
        if not (root / name).is_dir():
            raise UserError(f"{root} has no folder {name}: give {dataset.needs} with --data")
    return root / pictures, root / masks


def _beside(pictures: Path, masks: Path) -> tuple[Pair, ...]:
    """Return the pictures of a folder, each with the mask of its name in another.

    Raises:
        UserError: two pictures have one name.
    """
    files = sorted(file for file in pictures.iterdir() if file.suffix.lower() in EXTENSIONS and file.is_file())
    files = [file for file in files if not is_hidden(file.name)]
    endings = {file.stem: file.name for file in masks.iterdir() if file.suffix.lower() == ".png"}
    stems: dict[str, Path] = {}
    for file in files:
        if file.stem in stems:
            raise UserError(f"{stems[file.stem]} and {file.name} have one name, and so one mask: remove one of them")
        stems[file.stem] = file
    return tuple(Pair(stem, file, masks / endings.get(stem, f"{stem}.png")) for stem, file in stems.items())


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "it is not UTF-8 text"
