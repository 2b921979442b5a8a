"""Token labelling with MixToken (Jiang et al., NeurIPS 2021, arXiv 2104.10858), for papers that train with it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MixBox", "TokenLabels", "random_box", "swap_box"]


class MixBox(NamedTuple):
    """The part of a map that was taken from the mirrored batch: rows [top, bottom) and columns [left, right).

    The bounds count positions of the coarse map. Drawn boxes hold integer tensors without axes, so that a compiled
    model does not depend on their values.
    """

    top: Tensor | int
    bottom: Tensor | int
    left: Tensor | int
    right: Tensor | int


class TokenLabels(NamedTuple):
    """The outputs of a model in training with token labelling.

    Attributes:
        cls: logits of the picture (B, classes).
        tokens: logits of every position (B, N, classes), the mixing undone.
        box: the part of the inputs that was mixed.
    """

    cls: Tensor
    tokens: Tensor
    box: MixBox


def random_box(height: int, width: int) -> MixBox:
    """Draw a box whose share of the map is 1 - lambda, lambda uniform, centred anywhere (CutMix's rule)."""
    side = (1 - torch.rand(())).sqrt()
    half_height, half_width = (height * side).long() // 2, (width * side).long() // 2
    y, x = torch.randint(height, ()), torch.randint(width, ())
    return MixBox(
        (y - half_height).clamp(min=0),
        (y + half_height).clamp(max=height),
        (x - half_width).clamp(min=0),
        (x + half_width).clamp(max=width),
    )


def swap_box(x: Tensor, box: MixBox, scale: int = 1) -> Tensor:
    """Take ``box``, ``scale`` times enlarged, of the map x (B, H, W, C) from the mirrored batch; its own inverse."""
    y, column = (torch.arange(size, device=x.device) for size in x.shape[1:3])
    rows = (y >= scale * box.top) & (y < scale * box.bottom)
    columns = (column >= scale * box.left) & (column < scale * box.right)
    inside = rows[:, None] & columns
    return torch.where(inside[..., None], x.flip(0), x)
