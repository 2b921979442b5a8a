"""The definition of varied-size window attention in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.varied_window_attention.varied_window_attention`."""

    query: Tensor
    key: Tensor
    value: Tensor
    offset: Tensor
    stretch: Tensor
    bias: Tensor | None
    window_size: int
    scale: float


def positions(offset: Tensor, stretch: Tensor, window: int) -> Tensor:
    """Return where the keys of each window lie along one axis, (..., windows, w), in positions of the map.

    Args:
        offset, stretch: (..., windows), of one axis, that axis last.
        window: w.
    """
    middle = (window - 1) / 2
    count = torch.arange(window, device=offset.device, dtype=offset.dtype)
    first = window * torch.arange(offset.shape[-1], device=offset.device, dtype=offset.dtype)
    return (first + middle + offset).unsqueeze(-1) + stretch.unsqueeze(-1) * (count - middle)


def sample(x: Tensor, offset: Tensor, stretch: Tensor, window: int) -> Tensor:
    """Return x (B, G, H, W, D) interpolated at the keys of every window: (B * G, D, Y, w, X, w)."""
    height, width = x.shape[2:4]
    offset, stretch = offset.flatten(0, 1), stretch.flatten(0, 1)  # (B G, 2, Y, X)
    across = positions(offset[:, 0], stretch[:, 0], window)  # (B G, Y, X, w)
    down = positions(offset[:, 1].transpose(1, 2), stretch[:, 1].transpose(1, 2), window).transpose(1, 2)
    column = ((2 * across + 1) / width - 1).unsqueeze(2)  # (B G, Y, 1, X, w)
    row = ((2 * down + 1) / height - 1).transpose(2, 3).unsqueeze(-1)  # (B G, Y, w, X, 1)
    grid = torch.stack(torch.broadcast_tensors(column, row), dim=-1)
    rows, columns = grid.shape[1] * window, grid.shape[3] * window
    flat = x.flatten(0, 1).permute(0, 3, 1, 2)
    sampled = F.grid_sample(
        flat, grid.reshape(len(flat), rows, columns, 2), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled.unflatten(3, (-1, window)).unflatten(2, (-1, window))


def varied_window_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.varied_window_attention.varied_window_attention`."""
    query, key, value, offset, stretch, bias, window_size, scale = args
    batch, groups, height, width, _ = query.shape
    bottom, right = -height % window_size, -width % window_size
    padded = F.pad(query, (0, 0, 0, right, 0, bottom))
    down, across = offset.shape[3:]
    q = padded.unflatten(3, (across, window_size)).unflatten(2, (down, window_size))  # (B, G, Y, i, X, j, D)
    q = q.transpose(3, 4).flatten(4, 5)
    k, v = (
        sample(x, offset, stretch, window_size).permute(0, 2, 4, 3, 5, 1).flatten(3, 4).unflatten(0, (batch, groups))
        for x in (key, value)
    )
    scores = (q * scale) @ k.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias[:, None, None]
    out = (scores.softmax(-1) @ v).unflatten(4, (window_size, window_size)).transpose(3, 4)
    return out.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]
