"""Arithmetic and least memory traffic of varied-size window attention, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]
TAPS = 4
"""A bilinear sample weighs four positions."""


def _keys(offset: Shape, window_size: int) -> int:
    """How many keys are sampled, over all windows, groups and images."""
    return prod(offset) // 2 * window_size**2


def forward_flops(
    query: Shape, key: Shape, value: Shape, offset: Shape, stretch: Shape, bias: Shape | None, window_size: int,
    scale: float,
) -> int:  # fmt: skip
    """Return the FLOPs of the forward pass: sampling, scores and aggregation, two a multiply-add.

    Windows that reach beyond the map are counted whole, as the paper's own code computes them.
    """
    keys = _keys(offset, window_size)
    return 2 * keys * (key[4] + value[4]) * (TAPS + window_size**2)


def backward_flops(
    query: Shape, key: Shape, value: Shape, offset: Shape, stretch: Shape, bias: Shape | None, window_size: int,
    scale: float, needs: Sequence[bool] = (True, True, True, True, True, True),
) -> int:  # fmt: skip
    """Return the FLOPs of the backward pass: two gradients for each product of the forward pass."""
    return 2 * forward_flops(query, key, value, offset, stretch, bias, window_size, scale)


def _numbers(*shapes: Shape | None) -> int:
    return sum(prod(shape) for shape in shapes if shape is not None)


def forward_bytes(
    query: Shape, key: Shape, value: Shape, offset: Shape, stretch: Shape, bias: Shape | None, window_size: int,
    scale: float, itemsize: int,
) -> int:  # fmt: skip
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (_numbers(query, key, value, offset, stretch, bias) + prod(value))


def backward_bytes(
    query: Shape, key: Shape, value: Shape, offset: Shape, stretch: Shape, bias: Shape | None, window_size: int,
    scale: float, itemsize: int,
) -> int:  # fmt: skip
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    return itemsize * (2 * _numbers(query, key, value, offset, stretch, bias) + prod(value))
