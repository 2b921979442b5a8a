"""Pictures and their masks, PNG files of class numbers: found by their names, read and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.picture_reader import EXTENSIONS, header, opened, rgb
from claimbench.bench.data.pictures.scan import is_hidden


@dataclass(frozen=True)
class MaskedPicture:
    """A picture and the place of its mask.

    Attributes:
        name: in messages and tables.
        picture, mask: the files.
    """

    name: str
    picture: Path
    mask: Path


def beside(pictures: Path, masks: Path) -> tuple[MaskedPicture, ...]:
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
    return tuple(MaskedPicture(stem, file, masks / endings.get(stem, f"{stem}.png")) for stem, file in stems.items())


LEAST_SIDE = 8
"""Pixels; one score of a network stands for as many."""


MASK_MODES = ("P", "L", "1", "I", "I;16")
"""Pillow's modes of pictures whose pixels are numbers and not colours."""


LOSSY = ("JPEG", "MPO", "WEBP")
"""Pillow's names of formats that keep no exact values, whatever a file is called."""


def picture(pair: MaskedPicture) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Raises:
        UserError: it is smaller than :data:`LEAST_SIDE`, or
            :func:`~claimbench.bench.data.pictures.picture_reader.rgb` refuses it; names it.
    """
    return rgb(pair.picture, least=LEAST_SIDE, aim="can be segmented")


def size_of(pair: MaskedPicture) -> tuple[int, int]:
    """Return a picture's (H, W); its pixels are not read.

    Raises:
        UserError: it is missing or no picture; names it.
    """
    with header(pair.picture) as image:
        return image.height, image.width


def mask(pair: MaskedPicture, meaning: Mapping[int, int], title: str) -> np.ndarray:
    """Return a mask as (H, W) class numbers in uint8.

    Args:
        pair: the picture and its mask.
        meaning: the class number of each value that a mask may hold.
        title: of the data set, for messages.

    Raises:
        UserError: it is missing, holds colours, is of a format that keeps no exact values, or holds a value that is no
            label of the data set; names it.
    """
    with opened(pair.mask, "mask") as image:
        if image.format in LOSSY:
            raise UserError(f"the mask {pair.mask} is a {image.format}, which changes labels: it must be a PNG")
        if image.mode not in MASK_MODES:
            raise UserError(
                f"the mask {pair.mask} holds colours ({image.mode}) where each pixel must be the number of a class"
            )
        values = np.asarray(image)
    found = np.unique(values)
    strange = [int(value) for value in found if int(value) not in meaning]
    if strange:
        known = f"{title} has the labels {_spans(meaning)}"
        raise UserError(f"the mask {pair.mask} holds the unknown label {_some(strange)}: {known}")
    table = np.zeros(int(found.max(initial=0)) + 1, np.uint8)
    for value in found:
        table[int(value)] = meaning[int(value)]
    return table[values.astype(np.int64)]


def labelled(pair: MaskedPicture, meaning: Mapping[int, int], title: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, 3) and its mask (H, W); arguments as of :func:`mask`.

    Raises:
        UserError: as :func:`picture` and :func:`mask`, or they differ in size.
    """
    image, labels = picture(pair), mask(pair, meaning, title)
    if image.shape[:2] != labels.shape:
        of_picture, of_mask = (f"{shape[1]}x{shape[0]}" for shape in (image.shape, labels.shape))
        raise UserError(f"the picture {pair.picture} has {of_picture} pixels and its mask {pair.mask} {of_mask}")
    return image, labels


def _some(values: list[int], most: int = 3) -> str:
    shown = ", ".join(str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _spans(values: Mapping[int, int]) -> str:
    """Return numbers as spans: "0 to 20, 255"."""
    ordered = sorted(values)
    starts = [v for v in ordered if v - 1 not in values]
    ends = [v for v in ordered if v + 1 not in values]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


def digest(pairs: Sequence[MaskedPicture]) -> str:
    """Return a digest of the names of the pictures that were looked at."""
    return hashlib.sha256("\n".join(pair.name for pair in pairs).encode(errors="surrogateescape")).hexdigest()


def sizes(pairs: Sequence[MaskedPicture]) -> str:
    """Return a digest of the names and the files' sizes: the same for the same pictures and masks."""
    files = [(pair.name, file) for pair in pairs for file in (pair.picture, pair.mask)]
    found = [(name, file.stat().st_size if file.exists() else 0) for name, file in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()
