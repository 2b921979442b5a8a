"""The definition of neighbourhood aggregation in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.neighborhood_aggregate.neighborhood_aggregate`."""

    weights: Tensor
    value: Tensor
    kernel_size: int
    dilation: int


def window_index(length: int, kernel_size: int, dilation: int = 1) -> Tensor:
    """Return the positions that each query sees along one axis, shape (length, kernel_size).

    The window of position i is centred on i and shifted inwards where it would leave the map. With dilation d,
    position i sees only positions of its own residue class modulo d (the neighbourhood-attention rule).
    """
    position = torch.arange(length)
    residue, rank = position % dilation, position // dilation
    members = (length - residue + dilation - 1) // dilation
    start = (rank - kernel_size // 2).clamp(min=0).minimum(members - kernel_size)
    return residue[:, None] + dilation * (start[:, None] + torch.arange(kernel_size))


def neighborhood_aggregate(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.neighborhood_aggregate.neighborhood_aggregate`."""
    weights, value, kernel_size, dilation = args
    height, width = value.shape[2:4]
    rows = window_index(height, kernel_size, dilation)
    columns = window_index(width, kernel_size, dilation)
    window = (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(height, width, kernel_size**2)
    gathered = value.flatten(2, 3)[:, :, window.to(value.device)]  # (B, G, H, W, k*k, D)
    return (weights.unsqueeze(-2) @ gathered).squeeze(-2)
