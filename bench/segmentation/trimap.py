"""Trimaps: narrow bands around the boundaries of a mask, in which localisation shows (Kohli et al., IJCV 2009)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import distance_transform_edt


def distance_to_boundary(labels: np.ndarray) -> np.ndarray:
    """Return the distance in pixels (H, W) of each pixel of a mask (H, W) to the nearest pixel on a boundary.

    On a boundary is a pixel with a neighbour above, below, left or right of another label; void is a label here, as VOC
    draws it along the outlines of objects. Where there is no boundary the distance is infinite.
    """
    edge = np.zeros(labels.shape, bool)
    rows, columns = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    if not edge.any():
        return np.full(labels.shape, np.inf)
    return distance_transform_edt(~edge)


def bands(labels: np.ndarray, widths: Iterable[float]) -> dict[float, np.ndarray]:
    """Return, for each width, which pixels (H, W) are less than so many pixels from a boundary's pixel.

    Width 1 holds the pixels on boundaries alone: one on either side of each.
    """
    distance = distance_to_boundary(labels)
    return {width: distance < width for width in widths}
