"""Reads pictures and masks; what is wrong with one is said in one sentence that names the file."""

from __future__ import annotations

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.files import header, opened, rgb
from claimbench.bench.segmentation.catalogue import VOID, Masks
from claimbench.bench.segmentation.layout import Pair

LEAST_SIDE = 8
"""Pixels; one score of a network stands for as many."""

MASK_MODES = ("P", "L", "1", "I", "I;16")
"""Pillow's modes of pictures whose pixels are numbers and not colours."""


LOSSY = ("JPEG", "MPO", "WEBP")
"""Pillow's names of formats that keep no exact values, whatever a file is called."""


def picture(pair: Pair) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Raises:
        UserError: it is missing, is no picture, or is smaller than :data:`LEAST_SIDE`; names it.
    """
    return rgb(pair.picture, LEAST_SIDE, "can be segmented")


def size(pair: Pair) -> tuple[int, int]:
    """Return a picture's (H, W); its pixels are not read.

    Raises:
        UserError: it is missing or no picture; names it.
    """
    with header(pair.picture, "picture") as image:
        return image.height, image.width


def mask(pair: Pair, dataset: Masks, classes: int) -> np.ndarray:
    """Return a mask as (H, W) class numbers in uint8, :data:`VOID` where a pixel does not count.

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
    meaning = dataset.values(classes)
    found = np.unique(values)
    strange = [int(value) for value in found if int(value) not in meaning]
    if strange:
        known = f"{dataset.title} has the labels {_spans(meaning)}"
        raise UserError(f"the mask {pair.mask} holds the unknown label {_some(strange)}: {known}")
    table = np.full(int(found.max(initial=0)) + 1, VOID, np.uint8)
    for value in found:
        table[int(value)] = meaning[int(value)]
    return table[values.astype(np.int64)]


def both(pair: Pair, dataset: Masks, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, 3) and its mask (H, W).

    Raises:
        UserError: as :func:`picture` and :func:`mask`, or they differ in size.
    """
    image, labels = picture(pair), mask(pair, dataset, classes)
    if image.shape[:2] != labels.shape:
        of_picture, of_mask = (f"{shape[1]}x{shape[0]}" for shape in (image.shape, labels.shape))
        raise UserError(f"the picture {pair.picture} has {of_picture} pixels and its mask {pair.mask} {of_mask}")
    return image, labels


def _some(values: list[int], most: int = 3) -> str:
    shown = ", ".join(str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _spans(values: dict[int, int]) -> str:
    """Return numbers as spans: "0 to 20, 255"."""
    ordered = sorted(values)
    starts = [v for v in ordered if v - 1 not in values]
    ends = [v for v in ordered if v + 1 not in values]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))
