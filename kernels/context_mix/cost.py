"""Arithmetic and least memory traffic of context mixing, from the shapes of its arguments.

The FLOPs are those of the definition (affinity, projection, aggregation; no biases, no softmax). A backend that folds
the projection into the keys does fewer: R*d*P once for each map and then d*P for each position.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(
    query: Shape,
    key: Shape,
    projection: Shape,
    projection_bias: Shape,
    position_bias: Shape,
    value: Shape,
    kernel_sizes: Sequence[int],
) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each product in the formula."""
    positions, regions = prod(query[:4]), key[2]
    affinity = prod(query) * regions
    scores = positions * regions * projection[0]
    return 2 * (affinity + scores + positions * value[-1] * projection[0])


def backward_flops(
    query: Shape,
    key: Shape,
    projection: Shape,
    projection_bias: Shape,
    position_bias: Shape,
    value: Shape,
    kernel_sizes: Sequence[int],
    needs: Sequence[bool] = (True,) * 6,
) -> int:
    """Return the FLOPs of the backward pass: each product gives rise to two. The recomputation is not counted."""
    return 2 * forward_flops(query, key, projection, projection_bias, position_bias, value, kernel_sizes)


def _elements(*shapes: Shape) -> int:
    return sum(prod(shape) for shape in shapes)


def forward_bytes(
    query: Shape,
    key: Shape,
    projection: Shape,
    projection_bias: Shape,
    position_bias: Shape,
    value: Shape,
    kernel_sizes: Sequence[int],
    itemsize: int,
) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return itemsize * _elements(query, key, projection, projection_bias, position_bias, value, value)


def backward_bytes(
    query: Shape,
    key: Shape,
    projection: Shape,
    projection_bias: Shape,
    position_bias: Shape,
    value: Shape,
    kernel_sizes: Sequence[int],
    itemsize: int,
) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, six gradients out."""
    arguments = _elements(query, key, projection, projection_bias, position_bias, value)
    return itemsize * (2 * arguments + prod(value))
