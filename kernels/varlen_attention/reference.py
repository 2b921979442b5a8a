"""The definition of variable-length attention in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
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


def turned(args: Arguments) -> Arguments:
    """Return the arguments with queries and keys turned and no table."""
    if args.cos is None or args.sin is None:
        return args
    query, key = (rotate(x, args.cos, args.sin) for x in (args.query, args.key))
    return args._replace(query=query, key=key, cos=None, sin=None)


def turned_back(args: Arguments, flows: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return the gradients of query, key, value, both offsets (None), cosines and sines.

    Args:
        args: with a table.
        flows: the gradients of the arguments that :func:`turned` returns; those of query and key are there.
    """
    assert args.cos is not None
    assert args.sin is not None
    grads, table = [], [torch.zeros_like(args.cos), torch.zeros_like(args.sin)]
    width = 2 * args.cos.shape[1]
    for x, flow in zip((args.query, args.key), flows, strict=False):
        assert flow is not None
        (even, odd), (g, h) = (each[..., :width].unflatten(-1, (-1, 2)).unbind(-1) for each in (x, flow))
        table[0] += (g * even + h * odd).sum(1)
        table[1] += (h * even - g * odd).sum(1)
        grads.append(rotate(flow, args.cos, -args.sin))
    return [*grads, flows[2], None, None, *table]


def varlen_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.varlen_attention.varlen_attention`."""
    args = turned(args)
    query, key, value = args.query, args.key, args.value
    parts = [query.new_empty(0, *value.shape[1:])]
    for queries, keys in spans(args):
        q, k, v = (x.transpose(0, 1) for x in (query[queries], key[keys], value[keys]))  # (heads, tokens, channels)
        weights = (args.scale * q @ k.mT).softmax(-1)
        parts.append((weights @ v).transpose(0, 1))
    return torch.cat(parts)
