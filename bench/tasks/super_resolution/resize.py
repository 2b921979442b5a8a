"""Bicubic resizing as MATLAB's ``imresize`` does it, which makes the small pictures of the standard sets.

The kernel is Keys' with a = -1/2, in downscaling stretched by the scale against aliasing, and beyond the edge the
picture is reflected with its edge repeated. PyTorch's and PIL's antialiased bicubic have the same kernel but cut it
off at the edge, which changes the outermost two pixels of a smaller picture, and of a larger one as many times the
scale; PIL also rounds to 8 bits between the two axes. PyTorch's without ``antialias`` has a = -3/4, another filter.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 4
"""The width of the kernel, in pixels of the smaller picture."""


def downscale(picture: np.ndarray, scale: int) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 made ``scale`` times smaller; H and W are multiples of ``scale``."""
    return _resized(picture, picture.shape[0] // scale, picture.shape[1] // scale, KERNEL * scale)


def upscale(picture: np.ndarray, scale: int) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 made ``scale`` times larger."""
    return _resized(picture, picture.shape[0] * scale, picture.shape[1] * scale, KERNEL)


def _resized(picture: np.ndarray, height: int, width: int, margin: int) -> np.ndarray:
    around = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    x = torch.from_numpy(around).permute(2, 0, 1).unsqueeze(0).double()
    side = [margin * to // size for to, size in ((height, picture.shape[0]), (width, picture.shape[1]))]
    to = (height + 2 * side[0], width + 2 * side[1])
    larger = F.interpolate(x, to, mode="bicubic", antialias=True, align_corners=False)
    return to_pixels(larger[..., side[0] : side[0] + height, side[1] : side[1] + width] / 255)


def to_pixels(x: Tensor) -> np.ndarray:
    """Return a picture (1, 3, H, W) with values from 0 to 1 as (H, W, 3) uint8: cut off at both ends, then rounded."""
    return (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
