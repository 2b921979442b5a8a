"""The definition of variable-length attention in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.varlen_attention.varlen_attention`.

    ``key_offsets`` is None where queries and keys share ``offsets``; ``cos`` and ``sin`` are both given or both None.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    offsets: Tensor
    key_offsets: Tensor | None
    cos: Tensor | None
    sin: Tensor | None
    scale: float


def spans(args: Arguments) -> list[tuple[slice, slice]]:
    """Return the queries and the keys of every sample."""
    both = [
        offsets.tolist() for offsets in (args.offsets, args.offsets if args.key_offsets is None else args.key_offsets)
    ]
    queries, keys = ([slice(*pair) for pair in pairwise(ends)] for ends in both)
    return list(zip(queries, keys, strict=True))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (2i, 2i + 1) of the channels of x (tokens, heads, d) by the angles of their token.

    Args:
        x: (tokens, heads, d), floating point.
        cos: (tokens, p), the cosines of the angles of the first p <= d / 2 pairs; the other pairs stay as they are.
        sin: (tokens, p), the sines.

    Returns:
        (tokens, heads, d) in x's dtype; the products are taken in the wider dtype of x and the table.
    """
    width = 2 * cos.shape[-1]
    even, odd = x[..., :width].unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)
    return turned if width == x.shape[-1] else torch.cat((turned, x[..., width:]), dim=-1)


def varlen_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.varlen_attention.varlen_attention`."""
    query, key, value = args.query, args.key, args.value
    if args.cos is not None and args.sin is not None:
        query, key = (rotate(x, args.cos, args.sin) for x in (query, key))
    parts = [query.new_empty(0, *value.shape[1:])]
    for queries, keys in spans(args):
        q, k, v = (x.transpose(0, 1) for x in (query[queries], key[keys], value[keys]))  # (heads, tokens, channels)
        weights = (args.scale * q @ k.mT).softmax(-1)
        parts.append((weights @ v).transpose(0, 1))
    return torch.cat(parts)
