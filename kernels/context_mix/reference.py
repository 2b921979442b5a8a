"""The definition of context mixing in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.kernels.neighborhood_aggregate.reference import Arguments as Aggregation
from claimbench.kernels.neighborhood_aggregate.reference import neighborhood_aggregate, window_index


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.context_mix.context_mix`.

    ``position_bias`` is (G, S): the tables of all kernels, each flattened, one after the other.
    """

    query: Tensor
    key: Tensor
    projection: Tensor
    projection_bias: Tensor
    position_bias: Tensor
    value: Tensor
    kernel_sizes: Sequence[int]


def relative_bias(table: Tensor, height: int, width: int, kernel_size: int) -> Tensor:
    """Return the bias of every position's window, (G, H, W, k*k), from the table (G, 2k-1, 2k-1) of offsets.

    The entry for a key at row y and a query at row h is ``table[:, y - h + k - 1]``, likewise for columns.
    """
    row = window_index(height, kernel_size) - torch.arange(height)[:, None] + kernel_size - 1
    column = window_index(width, kernel_size) - torch.arange(width)[:, None] + kernel_size - 1
    offset = (row[:, None, :, None] * (2 * kernel_size - 1) + column[None, :, None, :]).flatten(2)
    return table.flatten(1)[:, offset.to(table.device)]


def context_mix(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.context_mix.context_mix`."""
    query, key, projection, projection_bias, position_bias, value, kernel_sizes = args
    height, width = query.shape[2:4]
    affinity = torch.einsum("bghwc,bgrc->bghwr", query, key)
    scores = F.linear(affinity, projection, projection_bias).split([k * k for k in kernel_sizes], dim=-1)
    tables = position_bias.split([(2 * k - 1) ** 2 for k in kernel_sizes], dim=-1)
    mixed = []
    for k, score, table, branch in zip(kernel_sizes, scores, tables, value.unbind(1), strict=True):
        bias = relative_bias(table.unflatten(-1, (2 * k - 1, 2 * k - 1)), height, width, k)
        weights = (score + bias).softmax(-1).to(branch.dtype)
        mixed.append(neighborhood_aggregate(Aggregation(weights, branch, k, 1)))
    return torch.stack(mixed, dim=1)
