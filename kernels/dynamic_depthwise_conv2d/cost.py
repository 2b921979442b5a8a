"""Arithmetic and least memory traffic of the dynamic depthwise convolution, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(x: Shape, kernel: Shape) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap."""
    return 2 * prod(x) * prod(kernel[2:])


def backward_flops(x: Shape, kernel: Shape, needs: Sequence[bool] = (True, True)) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each gradient."""
    return forward_flops(x, kernel) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(x: Shape, kernel: Shape, itemsize: int) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (2 * prod(x) + prod(kernel))


def backward_bytes(x: Shape, kernel: Shape, itemsize: int) -> int:
    """Return the bytes of the backward pass: both arguments and the output's gradient in, both gradients out."""
    return itemsize * (3 * prod(x) + 2 * prod(kernel))
