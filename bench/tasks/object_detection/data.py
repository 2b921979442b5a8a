"""COCO's pictures and the objects in them, checked against one another."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures.picture_reader import rgb
from claimbench.bench.tasks.object_detection.catalogue import ANNOTATIONS, CLASSES, COCO, FOLDER, PICTURES

MARGIN = 0.1
"""The most that a box may stand over its picture's edge, in parts of its sides; corners given as sides go beyond."""

Objects = tuple[dict[str, Any], ...]
"""Objects as COCO's library takes them, but that ``category_id`` is the position in
:data:`~claimbench.bench.tasks.object_detection.catalogue.CLASSES` plus 1."""


@dataclass(frozen=True)
class Picture:
    """A picture of the data set: its number, its file, and its sides in pixels."""

    number: int
    file: Path
    width: int
    height: int


@dataclass(frozen=True)
class GroundTruth:
    """The objects to be found in pictures.

    Attributes:
        pictures: in the order of their numbers.
        objects: of these pictures.
        listed: the number of pictures that the annotations list, missing ones among them.
        sha256: of the file of annotations.
    """

    pictures: tuple[Picture, ...]
    objects: Objects
    listed: int
    sha256: str

    @property
    def outlined(self) -> bool:
        """Whether every object has an outline, so that masks can be scored."""
        return all("segmentation" in each for each in self.objects)

    @property
    def partial(self) -> bool:
        """Whether this is less than the whole data set."""
        return len(self.pictures) != PICTURES


def find(data: str, *, partial: bool = False) -> GroundTruth:
    """Return the pictures and objects of a folder; no picture is opened.

    Args:
        data: the folder.
        partial: whether to go on without pictures that are missing, and if fewer are listed than COCO has.

    Raises:
        UserError: the folder does not hold COCO, or contradicts itself; one sentence.
    """
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give {COCO.needs} with --data")
    file = root / ANNOTATIONS
    listing = parse(file)
    pictures = _pictures(listing, file, root / FOLDER)
    objects = _objects(listing, file, {picture.number: picture for picture in pictures})
    if len(pictures) != PICTURES and not partial:
        raise UserError(
            f"{file} lists {len(pictures):,} pictures where {COCO.title} has {PICTURES:,} "
            "(--partial evaluates what is there)"
        )
    missing = [picture for picture in pictures if not picture.file.exists()]
    if missing and (not partial or len(missing) == len(pictures)):
        others = f" and {len(missing) - 1:,} more are" if len(missing) > 1 else " is"
        hint = "" if partial else " (--partial evaluates what is there)"
        raise UserError(f"the picture {missing[0].file}{others} missing{hint}")
    gone = {picture.number for picture in missing}
    there = tuple(picture for picture in pictures if picture.number not in gone)
    seen = tuple(each for each in objects if each["image_id"] not in gone)
    return GroundTruth(there, seen, len(pictures), digest(file))


def _pictures(listing: Listing, file: Path, folder: Path) -> tuple[Picture, ...]:
    """Return the pictures by number; each number and each file once."""
    if not listing.images:
        raise UserError(f"{file} lists no pictures")
    numbers, names = set(), set()
    for each in listing.images:
        if each.id in numbers or each.file_name in names:
            raise UserError(f"{file} lists the picture {each.id} ({each.file_name}) twice")
        if Path(each.file_name).name != each.file_name or "\0" in each.file_name:
            raise UserError(f"{file} names {each.file_name!r}, which is no name of a picture")
        numbers.add(each.id)
        names.add(each.file_name)
    ordered = sorted(listing.images, key=lambda each: each.id)
    return tuple(Picture(each.id, folder / each.file_name, each.width, each.height) for each in ordered)


def _objects(listing: Listing, file: Path, pictures: Mapping[int, Picture]) -> Objects:
    names = {category.id: category.name for category in listing.categories}
    for kind, values in (
        ("category", [c.id for c in listing.categories]),
        ("annotation", [a.id for a in listing.annotations]),
    ):
        if len(set(values)) < len(values):
            twice = Counter(values).most_common(1)[0][0]
            raise UserError(f"{file} lists the {kind} {twice} twice")
    if len(set(names.values())) < len(names):
        raise UserError(f"{file} lists the category {Counter(names.values()).most_common(1)[0][0]} under two numbers")
    places = {name: place for place, name in enumerate(CLASSES)}
    found = []
    for number, each in enumerate(listing.annotations, start=1):
        name = names.get(each.category_id)
        if name not in places:
            called = "" if name is None else f" ({name})"
            raise UserError(
                f"{file}: the annotation {each.id} is of the category {each.category_id}{called}, "
                f"which is none of COCO's {len(CLASSES)}"
            )
        if each.image_id not in pictures:
            raise UserError(f"{file}: the annotation {each.id} is of the picture {each.image_id}, which is not listed")
        found.append(_object(number, each, places[name] + 1, pictures[each.image_id], file))
    if found and all(max(each["bbox"]) <= 1 for each in found):
        raise UserError(f"{file}: no box goes beyond 1: they must be in pixels, and not parts of the picture's sides")
    return tuple(found)


def _object(number: int, each: ListedObject, category: int, picture: Picture, file: Path) -> dict[str, Any]:
    """Return one object; numbers start at 1, as COCO's library takes 0 for no match."""
    x, y, width, height = each.bbox
    corners = [x, y, x + width, y + height]
    what = f"{file}: the annotation {each.id}"
    _check_inside(corners, picture, f"{what}, whose box is left, top, width and height,", MARGIN)
    outline: Any = each.segmentation
    if isinstance(outline, Runs):
        if outline.size != (picture.height, picture.width) or sum(outline.counts) != picture.height * picture.width:
            raise UserError(f"{file}: the outline of the annotation {each.id} has another size than its picture")
        outline = {"counts": outline.counts, "size": list(outline.size)}
    elif outline:
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in outline):
            raise UserError(f"{file}: an outline of the annotation {each.id} is no polygon of 3 corners or more")
        outer = [value for polygon in outline for value in polygon]
        _check_inside(outer, picture, what)
        if min(outer[::2]) > x + width or max(outer[::2]) < x or min(outer[1::2]) > y + height or max(outer[1::2]) < y:
            raise UserError(f"{what} has its outline beside its box: they are of different objects")
    known = {"id": number, "image_id": each.image_id, "category_id": category, "bbox": list(each.bbox)}
    known |= {"area": each.area, "iscrowd": each.iscrowd}
    return known | ({"segmentation": outline} if outline else {})


def _check_inside(corners: list[float], picture: Picture, what: str, margin: float = 1.0) -> None:
    """Refuse coordinates (x, y, x, y, ...) outside of the picture by more than a part of its sides.

    COCO's own may stand over its edge by a little.
    """
    for values, side in ((corners[::2], picture.width), (corners[1::2], picture.height)):
        if min(values) < -margin * side or max(values) > (1 + margin) * side:
            raise UserError(f"{what} lies outside of its picture, which has {picture.width}x{picture.height} pixels")


Coordinate = Annotated[float, Field(allow_inf_nan=False)]


Extent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _AnnotationEntry(BaseModel):
    """A part of COCO's file of annotations; fields that are not read are left out."""

    model_config = ConfigDict(strict=True, frozen=True)


class ListedPicture(_AnnotationEntry):
    """A picture as the file lists it."""

    id: int
    file_name: str
    width: PositiveInt
    height: PositiveInt


class Runs(_AnnotationEntry):
    """A region as lengths of runs, outside and inside in turn, column by column; ``size`` is (height, width)."""

    counts: list[NonNegativeInt]
    size: tuple[PositiveInt, PositiveInt]


class ListedObject(_AnnotationEntry):
    """An object of a picture: its box (x, y, width, height), and its region as polygons or runs if it is outlined."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[Coordinate, Coordinate, Extent, Extent]
    area: Extent
    iscrowd: Literal[0, 1] = 0
    segmentation: list[list[Coordinate]] | Runs | None = None


class Category(_AnnotationEntry):
    """A kind of object."""

    id: int
    name: str


class Listing(_AnnotationEntry):
    """The whole file."""

    images: list[ListedPicture]
    annotations: list[ListedObject]
    categories: list[Category]


def parse(file: Path) -> Listing:
    """Return the content of the file of annotations, each field of the right kind.

    Raises:
        UserError: it is missing, is no JSON, or holds something else; one sentence.
    """
    try:
        return Listing.model_validate_json(file.read_bytes().removeprefix(BOM_UTF8))
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: give {COCO.needs} with --data") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or 'unreadable'})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise UserError(f"{file} is broken: {first['msg']}") from error
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{file} does not hold COCO's annotations: {place}: {first['msg']}") from error


LEAST_SIDE = 8
"""Pixels; one position of the finest map that detectors look at stands for half as many."""


def pixels(picture: Picture) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Raises:
        UserError: it is too small, has another size than the annotations say, or
            :func:`~claimbench.bench.data.pictures.picture_reader.rgb` refuses it; names it.
    """
    found = rgb(picture.file, least=LEAST_SIDE, aim="is needed to look for objects")
    height, width = found.shape[:2]
    if (height, width) != (picture.height, picture.width):
        said = f"{picture.width}x{picture.height}"
        raise UserError(f"the picture {picture.file} has {width}x{height} pixels where the annotations say {said}")
    return found


def checked(data: str, *, partial: bool = False, listener: Listener = SILENT) -> GroundTruth:
    """Return the pictures and objects of a folder after every picture was read and found to fit its annotations.

    Args:
        data: the folder.
        partial: as in :func:`~claimbench.bench.tasks.object_detection.data.read`.
        listener: told the number of pictures that were read, and of all.

    Raises:
        UserError: something is wrong; one sentence.
    """
    truth = find(data, partial=partial)
    for number, picture in enumerate(truth.pictures, start=1):
        pixels(picture)
        listener.at(number, len(truth.pictures))
    return truth
