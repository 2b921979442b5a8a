"""The definition of neighbourhood attention in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from claimbench.kernels.neighborhood_aggregate.reference import window_index


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.neighborhood_attention.neighborhood_attention`.

    The maps are (B, G, H, W, D); ``kernel_size`` and ``dilation`` hold a number for each axis.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    kernel_size: Sequence[int]
    dilation: Sequence[int]
    scale: float


def neighborhood_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.neighborhood_attention.neighborhood_attention`."""
    query, key, value, bias, kernel_size, dilation, scale = args
    height, width = query.shape[2:4]
    rows = window_index(height, kernel_size[0], dilation[0])
    columns = window_index(width, kernel_size[1], dilation[1])
    window = (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(height * width, -1).to(query.device)
    keys, values = key.flatten(2, 3)[:, :, window], value.flatten(2, 3)[:, :, window]  # (B, G, H*W, kh*kw, D)
    scores = (keys @ (query * scale).flatten(2, 3).unsqueeze(-1)).squeeze(-1)
    if bias is not None:
        down = (rows - torch.arange(height)[:, None]) // dilation[0] + kernel_size[0] - 1
        right = (columns - torch.arange(width)[:, None]) // dilation[1] + kernel_size[1] - 1
        down, right = down.to(bias.device), right.to(bias.device)
        offsets = bias[:, down[:, None, :, None], right[None, :, None, :]]  # (G, H, W, kh, kw)
        scores = scores + offsets.reshape(len(bias), height * width, -1)
    return (scores.softmax(-1).unsqueeze(-2) @ values).squeeze(-2).unflatten(2, (height, width))
