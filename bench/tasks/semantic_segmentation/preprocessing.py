"""From a picture to the input of a network: its colour order and mean, padded on the right and below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError, unknown

STRIDE = 8
"""Sides are padded to multiples of it plus 1, so that scores fall on pixels."""


@dataclass(frozen=True)
class Normalisation:
    """(pixels / ``divisor`` - ``mean``) / ``std``; ``bgr``: whether the channels are in the order blue, green, red."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    divisor: float = 255.0
    bgr: bool = False


NORMALISATIONS: Mapping[str, Normalisation] = {
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe-bgr": Normalisation((104.008, 116.669, 122.675), divisor=1.0, bgr=True),
}
"""The names that ``input.mean`` of a ``paper.yaml`` may have."""


def normalisation_of(given: Mapping[str, Any] | None) -> Normalisation:
    """Return the normalisation that the input of a ``paper.yaml`` names or spells out.

    Raises:
        UserError: it is unknown.
    """
    mean, std = (given or {}).get("mean") or "imagenet", (given or {}).get("std") or "imagenet"
    if isinstance(mean, str):
        if mean not in NORMALISATIONS:
            raise unknown("normalisation", mean, NORMALISATIONS)
        return NORMALISATIONS[mean]
    if isinstance(std, str) or len(mean) != 3 or len(std) != 3:
        raise UserError(f"a normalisation needs three means and three standard deviations, got {mean} and {std}")
    return Normalisation(tuple(map(float, mean)), tuple(map(float, std)))


def padded(size: Sequence[int], pad: int) -> tuple[int, int]:
    """Return the size (H', W') that a picture (H, W) is padded to.

    H' is ``pad``, or if H is larger the next multiple of 8 plus 1; W' likewise.
    """
    height, width = (max(pad, -(-(side - 1) // STRIDE) * STRIDE + 1) for side in size)
    return height, width


def prepared(picture: np.ndarray, normalisation: Normalisation, pad: int) -> Tensor:
    """Return (1, 3, H', W') in float32 for a picture (H, W, 3) in RGB, padded (:func:`padded`) with the mean."""
    height, width = padded(picture.shape[:2], pad)
    return F.pad(normalised(picture, normalisation), (0, width - picture.shape[1], 0, height - picture.shape[0]))


def normalised(picture: np.ndarray, normalisation: Normalisation) -> Tensor:
    """Return (1, 3, H, W) in float32 for a picture (H, W, 3) in RGB."""
    ordered = picture[..., ::-1] if normalisation.bgr else picture
    pixels = torch.from_numpy(np.array(ordered)).permute(2, 0, 1)[None].float()
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (normalisation.mean, normalisation.std))
    return (pixels / normalisation.divisor - mean) / std
