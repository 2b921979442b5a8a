"""The file of COCO's annotations, field by field: what must be in it for average precision to mean something."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.detection.catalogue import NEEDS

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Extent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class ListedPicture(_Strict):
    """A picture as the file lists it."""

    id: int
    file_name: str
    width: PositiveInt
    height: PositiveInt


class Runs(_Strict):
    """A region as lengths of runs, outside and inside in turn, column by column; ``size`` is (height, width)."""

    counts: list[NonNegativeInt]
    size: tuple[PositiveInt, PositiveInt]


class ListedObject(_Strict):
    """An object of a picture: its box (x, y, width, height), and its region as polygons or runs if it is outlined."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[Coordinate, Coordinate, Extent, Extent]
    area: Extent
    iscrowd: Literal[0, 1] = 0
    segmentation: list[list[Coordinate]] | Runs | None = None


class Category(_Strict):
    """A kind of object."""

    id: int
    name: str


class Listing(_Strict):
    """The whole file."""

    images: list[ListedPicture]
    annotations: list[ListedObject]
    categories: list[Category]


def parse(file: Path) -> Listing:
    """Return what the file of annotations says, each field of the right kind.

    Raises:
        UserError: it is missing, is no JSON, or holds something else; one sentence.
    """
    try:
        return Listing.model_validate_json(file.read_bytes().removeprefix(BOM_UTF8))
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: give {NEEDS} with --data") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or 'unreadable'})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise UserError(f"{file} is broken: {first['msg']}") from error
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{file} does not hold COCO's annotations: {place}: {first['msg']}") from error
