"""Arithmetic and least memory traffic of the permutohedral filter, from the shapes of its arguments.

How many vertices the lattice has, and with them the work of the blurs, depends on the features' values. Counted is what
every lattice of these shapes needs: splat and slice over the F + 1 vertices around each point.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(values: Shape, features: Shape, bridge: bool) -> int:
    """Return the FLOPs of splat and slice: a multiply and an add each for every channel, point and vertex around it."""
    return 4 * prod(values) * (features[1] + 1)


def backward_flops(values: Shape, features: Shape, bridge: bool, needs: Sequence[bool] = (True, True)) -> int:
    """Return the FLOPs of the backward pass: the transposed filter for the values, nothing for the features."""
    return forward_flops(values, features, bridge) * bool(needs[0])


def forward_bytes(values: Shape, features: Shape, bridge: bool, itemsize: int) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (2 * prod(values) + prod(features))


def backward_bytes(values: Shape, features: Shape, bridge: bool, itemsize: int) -> int:
    """Return the bytes of the backward pass: the output's gradient and the features in, two gradients out."""
    return itemsize * (2 * prod(values) + 2 * prod(features))
