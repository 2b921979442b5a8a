"""Arithmetic and least memory traffic of biased attention, from the shapes of its arguments.

The FLOPs are those of the two products, scores and mixing; biases, softmax and the gate's mix are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(query: Shape, key: Shape, value: Shape, table: Shape, gate: Shape | None, scale: float) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair of positions and channel."""
    positions = query[3] * query[4]
    return 2 * positions * (prod(query) + prod(value))


def backward_flops(
    query: Shape,
    key: Shape,
    value: Shape,
    table: Shape,
    gate: Shape | None,
    scale: float,
    needs: Sequence[bool] = (True,) * 5,
) -> int:
    """Return the FLOPs of the backward pass: each product gives rise to two. The recomputation is not counted."""
    return 2 * forward_flops(query, key, value, table, gate, scale)


def _elements(*shapes: Shape | None) -> int:
    return sum(prod(shape) for shape in shapes if shape is not None)


def forward_bytes(
    query: Shape, key: Shape, value: Shape, table: Shape, gate: Shape | None, scale: float, itemsize: int
) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return itemsize * _elements(query, key, value, table, gate, value)


def backward_bytes(
    query: Shape, key: Shape, value: Shape, table: Shape, gate: Shape | None, scale: float, itemsize: int
) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, every gradient out."""
    return itemsize * (2 * _elements(query, key, value, table, gate) + prod(value))
