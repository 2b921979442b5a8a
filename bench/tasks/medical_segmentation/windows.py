"""From a scan to the classes of its voxels: normalised, and seen through windows of the size that a network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import unknown

NORMALISATIONS: Mapping[str, str] = {
    "none": "each channel of a scan from its least to its greatest value, as 0 to 1",
    "zscore": "each channel of a scan less its mean, over its standard deviation",
}
"""The names that ``input.mean`` of a ``paper.yaml`` may have, and what they stand for."""

WINDOWS = "windows of the network's size, half of one apart, whose scores are averaged; a smaller scan is padded"


def normalisation_of(given: Mapping[str, Any] | None) -> str:
    """Return the name of the normalisation that the input of a ``paper.yaml`` asks for.

    Raises:
        UserError: it is unknown.
    """
    name = str((given or {}).get("mean") or "none").partition(" ")[0]
    if name not in NORMALISATIONS:
        raise unknown("normalisation", name, NORMALISATIONS)
    return name


def normalised(values: np.ndarray, whole: np.ndarray, name: str) -> Tensor:
    """Return a scan, or a part of it, (channels, D, H, W) in float32, by the values of the ``whole`` scan."""
    axes = (1, 2, 3)
    if name == "zscore":
        offset, scale = whole.mean(axes, keepdims=True), whole.std(axes, keepdims=True)
    else:
        offset = whole.min(axes, keepdims=True)
        scale = whole.max(axes, keepdims=True) - offset
    return torch.from_numpy((values - offset) / np.where(scale > 0, scale, 1)).float()


def labelled(scores: Callable[[Tensor], Tensor], scan: Tensor, window: Sequence[int]) -> np.ndarray:
    """Return the class (D, H, W) with the highest score of each voxel.

    Args:
        scores: maps (B, channels, *window) to scores (B, classes, *window).
        scan: (channels, D, H, W).
        window: a height and a width, for slices one by one; or a depth, too.
    """
    if len(window) == 3:
        return _windowed(scores, scan[None], window)[0].argmax(0).to(torch.uint8).cpu().numpy()
    slices = [_windowed(scores, scan[None, :, i], window)[0].argmax(0).to(torch.uint8) for i in range(scan.shape[1])]
    return torch.stack(slices).cpu().numpy()


def _windowed(scores: Callable[[Tensor], Tensor], x: Tensor, window: Sequence[int]) -> Tensor:
    """Return the scores (1, classes, *size) of a picture (1, channels, *size)."""
    size = x.shape[2:]
    before = [max(0, least - side) // 2 for side, least in zip(size, window, strict=True)]
    after = [max(0, least - side) - first for side, least, first in zip(size, window, before, strict=True)]
    padded = F.pad(x, [each for pair in zip(before[::-1], after[::-1], strict=True) for each in pair])
    total: Tensor | None = None
    seen = torch.zeros(padded.shape[2:])
    for place in _places(padded.shape[2:], window):
        inside = tuple(slice(start, start + side) for start, side in zip(place, window, strict=True))
        found = scores(padded[(slice(None), slice(None), *inside)]).float().cpu()
        if total is None:
            total = found.new_zeros(1, found.shape[1], *padded.shape[2:])
        total[(slice(None), slice(None), *inside)] += found
        seen[inside] += 1
    assert total is not None
    middle = tuple(slice(first, first + side) for first, side in zip(before, size, strict=True))
    return (total / seen)[(slice(None), slice(None), *middle)]


def _places(size: Sequence[int], window: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield where windows begin so that they cover a picture, each at most half a window from the one before."""
    axes = []
    for side, width in zip(size, window, strict=True):
        last = side - width
        count = -(-last // max(1, width // 2)) + 1
        axes.append([round(i * last / max(1, count - 1)) for i in range(count)])
    yield from product(*axes)
