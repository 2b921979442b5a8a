"""The definition of query attention in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.query_attention.query_attention`.

    ``query`` is (1, Q, heads, d) for all images, or (B, Q, heads, d).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    offsets: Tensor
    scale: float


def query_attention(args: Arguments) -> tuple[Tensor, Tensor]:
    """See :func:`claimbench.kernels.query_attention.query_attention`."""
    query, key, value, offsets, scale = args
    ends = offsets.tolist()
    own = query.expand(len(ends) - 1, -1, -1, -1)
    values, scores = [], [key.new_empty(0, query.shape[1])]
    for q, (start, end) in zip(own, pairwise(ends), strict=True):
        raw = (q * scale).transpose(0, 1) @ key[start:end].permute(1, 2, 0)  # (heads, Q, N)
        values.append((raw.softmax(-1).to(value.dtype) @ value[start:end].transpose(0, 1)).transpose(0, 1))
        scores.append(raw.mean(0).transpose(0, 1))
    empty = value.new_empty(0, *query.shape[1:3], value.shape[2])
    return torch.stack(values) if values else empty, torch.cat(scores)
