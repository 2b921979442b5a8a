"""The definition of biased attention in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.biased_attention.biased_attention`.

    The maps are (B, L, G, H, W, d): L independent grids in every image.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    table: Tensor
    gate: Tensor | None
    scale: float


def pair_bias(table: Tensor, height: int, width: int) -> Tensor:
    """Return the bias of every pair of positions, (G, H W, H W), query first, from the table of offsets."""
    y, x = torch.arange(height, device=table.device), torch.arange(width, device=table.device)
    rows, columns = y[None, :] - y[:, None] + height - 1, x[None, :] - x[:, None] + width - 1
    offset = rows[:, None, :, None] * (2 * width - 1) + columns[None, :, None, :]  # (H, W, H, W)
    return table.flatten(1)[:, offset.flatten()].unflatten(1, (height * width, height * width))


def biased_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.biased_attention.biased_attention`."""
    query, key, value, table, gate, scale = args
    height, width = query.shape[3:5]
    q, k, v = (x.flatten(3, 4) for x in (query, key, value))
    scores, bias = scale * q @ k.transpose(-2, -1), pair_bias(table, height, width)
    if gate is None:
        weights = (scores + bias).softmax(-1)
    else:
        share = gate[:, None, None]
        weights = (1 - share) * scores.softmax(-1) + share * bias.softmax(-1)
    return (weights @ v).unflatten(3, (height, width))
