"""From a picture to the input of a network: its colour order and mean, padded on the right and below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.data.pictures.normalisation import Normalisation

STRIDE = 8
"""Sides are padded to multiples of it plus 1, so that scores fall on pixels."""


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
