"""Biases as tables over the relative offset, for :func:`claimbench.kernels.biased_attention.biased_attention`.

Entry (dy + H - 1, dx + W - 1) of a table (G, 2 H - 1, 2 W - 1) belongs to keys dy rows below and dx columns right of
their query.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _offsets(length: int, like: Tensor) -> Tensor:
    return torch.arange(1 - length, length, dtype=like.dtype, device=like.device)


def manhattan_decay(rates: Tensor, height: int, width: int) -> Tensor:
    """Return ``rate (|dy| + |dx|)``, (G, 2 H - 1, 2 W - 1); a side of 1 leaves the decay along the other axis.

    Args:
        rates: (G,), the logarithm of each head's decay from one position to the next.
        height, width: H and W.
    """
    distance = _offsets(height, rates).abs()[:, None] + _offsets(width, rates).abs()
    return rates[:, None, None] * distance


def quadratic(weight: Tensor, bias: Tensor | None, height: int, width: int) -> Tensor:
    """Return ``weight . (dx, dy, dx^2 + dy^2) + bias``, (G, 2 H - 1, 2 W - 1).

    Args:
        weight: (G, 3).
        bias: (G,) or None.
        height, width: H and W.
    """
    dy, dx = _offsets(height, weight)[:, None], _offsets(width, weight)
    squares = dy.square() + dx.square()
    a, b, c = weight.unsqueeze(-1).unsqueeze(-1).unbind(1)
    table = a * dx + b * dy + c * squares
    return table if bias is None else table + bias[:, None, None]


def relative_position(parameter: Tensor, height: int, width: int) -> Tensor:
    """Return a learned table ((2 H - 1) * (2 W - 1), G) in the operator's layout.

    The usual parameter is indexed by query minus key (Swin), the operator's table by key minus query: the offsets are
    turned round.

    Args:
        parameter: one row for each offset, row by row.
        height, width: H and W.
    """
    return parameter.flip(0).t().unflatten(1, (2 * height - 1, 2 * width - 1))
