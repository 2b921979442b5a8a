"""The definition of local block attention in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.local_block_attention.local_block_attention`.

    Both tables are given, or neither.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    row_table: Tensor | None
    column_table: Tensor | None
    block_size: int
    halo_size: int
    scale: float


def windows(x: Tensor, block: int, halo: int) -> Tensor:
    """Return the zero-padded window of every block of x (B, G, H, W, D): (B, G, H / b, W / b, w, w, D)."""
    side = block + 2 * halo
    padded = F.pad(x, (0, 0, halo, halo, halo, halo))
    return padded.unfold(2, side, block).unfold(3, side, block).permute(0, 1, 2, 3, 5, 6, 4)


def relative(table: Tensor, queries: int, side: int) -> Tensor:
    """Return the table's entry for every query and key of one axis: (queries, side, D)."""
    key = torch.arange(side, device=table.device)
    query = torch.arange(queries, device=table.device)
    return table[key - query[:, None] + side - 1]


def local_block_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.local_block_attention.local_block_attention`."""
    query, key, value, row_table, column_table, block_size, halo_size, scale = args
    down, across = key.shape[2] // block_size, key.shape[3] // block_size
    queries, side = query.shape[2] // down, block_size + 2 * halo_size
    q = query.unflatten(3, (across, queries)).unflatten(2, (down, queries)).transpose(3, 4)  # (B, G, Y, X, i, j, D)
    k, v = windows(key, block_size, halo_size), windows(value, block_size, halo_size)
    scores = (q.flatten(4, 5) * scale) @ k.flatten(4, 5).transpose(-1, -2)
    scores = scores.unflatten(-1, (side, side)).unflatten(-3, (queries, queries))
    if row_table is not None and column_table is not None:
        rows = q @ relative(row_table, queries, side).transpose(-1, -2)  # (.., i, j, r)
        columns = q.transpose(-2, -3) @ relative(column_table, queries, side).transpose(-1, -2)  # (.., j, i, c)
        scores = scores + rows.unsqueeze(-1) + columns.transpose(-2, -3).unsqueeze(-2)
    weights = scores.flatten(-2).flatten(-3, -2).softmax(-1)
    out = (weights @ v.flatten(4, 5)).unflatten(-2, (queries, queries))
    return out.transpose(3, 4).flatten(4, 5).flatten(2, 3)
