"""Reads the pictures that annotations are about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.files import rgb
from claimbench.bench.detection.annotations import GroundTruth, Picture, read

LEAST_SIDE = 8
"""Pixels; one position of the finest map that detectors look at stands for half as many."""

Progress = Callable[[int, int], None]


def pixels(picture: Picture) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Raises:
        UserError: it is missing, is no picture, is too small, or has another size than the annotations say; names it.
    """
    found = rgb(picture.file, LEAST_SIDE, "is needed to look for objects")
    height, width = found.shape[:2]
    if (height, width) != (picture.height, picture.width):
        said = f"{picture.width}x{picture.height}"
        raise UserError(f"the picture {picture.file} has {width}x{height} pixels where the annotations say {said}")
    return found


def checked(data: str, *, partial: bool = False, progress: Progress | None = None) -> GroundTruth:
    """Return what is to be found in a folder each of whose pictures is what it should be.

    Args:
        data: the folder.
        partial: as in :func:`~claimbench.bench.detection.annotations.read`.
        progress: told how many pictures were read, of how many.

    Raises:
        UserError: something is wrong; one sentence.
    """
    truth = read(data, partial=partial)
    for number, picture in enumerate(truth.pictures, start=1):
        pixels(picture)
        if progress is not None:
            progress(number, len(truth.pictures))
    return truth
