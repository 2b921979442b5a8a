"""The definition of the box warp in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.box_warp.box_warp`."""

    mask: Tensor
    box: Tensor
    visible: Tensor
    height: int
    width: int


def _taps(centre: Tensor, extent: Tensor, samples: int, pixels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, along one axis, the two samples that each pixel lies between, the weight of the second, and inside.

    All are (N, K, pixels). What is no number lies inside, so that it is seen in the result.
    """
    pixel = torch.arange(pixels, device=centre.device, dtype=centre.dtype) + 0.5
    first, last = (end[..., None] for end in (centre - extent / 2, centre + extent / 2))
    outside = (pixel < first) | (pixel >= last)
    # A pixel outside needs no place, and a box without extent gives none.
    within, whole = torch.where(outside, 0.5, pixel - first), torch.where(last > first, extent[..., None], 1.0)
    free = within * samples / whole - 0.5
    edge = free.detach().clamp(0, samples - 1)
    place = torch.where((free > 0) & (free < samples - 1), free, edge)
    left = edge.nan_to_num(0.0).floor().long()
    return left, (left + 1).clamp(max=samples - 1), place - left, ~outside


def box_warp(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.box_warp.box_warp`."""
    mask, box, visible, height, width = args
    box = box.to(torch.promote_types(torch.promote_types(box.dtype, mask.dtype), torch.float32))
    left, right, across, in_columns = _taps(box[..., 0], box[..., 2], mask.shape[3], width)
    upper, lower, down, in_rows = _taps(box[..., 1], box[..., 3], mask.shape[2], height)

    def row(index: Tensor) -> Tensor:
        """Return the samples (N, K, height, w) of a row each."""
        return mask.gather(2, index[..., None].expand(-1, -1, -1, mask.shape[3]))

    def between(first: Tensor, last: Tensor, weight: Tensor) -> Tensor:
        return first * (1 - weight) + last * weight

    rows = between(row(upper), row(lower), down[..., None])
    first, last = (rows.gather(3, index[:, :, None].expand(-1, -1, height, -1)) for index in (left, right))
    value = between(first, last, across[:, :, None]) * visible[..., None, None]
    inside = in_rows[..., None] & in_columns[:, :, None]
    return torch.where(inside, value, 0.0).to(mask.dtype)
