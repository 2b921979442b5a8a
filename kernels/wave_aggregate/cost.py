"""Arithmetic and least memory traffic of wave aggregation, from the shapes of its arguments.

As in PyTorch's own counter, elementwise arithmetic counts as free: the operator is bound by memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(x: Shape, theta: Shape, weight: Shape, wave: Shape) -> int:
    """Return 0: the forward pass holds no product of matrices and no convolution."""
    return 0


def backward_flops(
    x: Shape, theta: Shape, weight: Shape, wave: Shape, needs: Sequence[bool] = (True, True, True, True)
) -> int:
    """Return 0, as for the forward pass."""
    return 0


def forward_bytes(x: Shape, theta: Shape, weight: Shape, wave: Shape, itemsize: int) -> int:
    """Return the bytes of the forward pass when each tensor moves once; the output is float32 at least."""
    return itemsize * (prod(x) + 2 * prod(theta) + prod(wave)) + max(itemsize, 4) * prod(theta)


def backward_bytes(x: Shape, theta: Shape, weight: Shape, wave: Shape, itemsize: int) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, three gradients out."""
    return itemsize * (prod(x) + 4 * prod(theta) + 2 * prod(wave)) + max(itemsize, 4) * prod(theta)
