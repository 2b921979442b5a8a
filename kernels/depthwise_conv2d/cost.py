"""Arithmetic and least memory traffic of the depthwise convolution, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count and the bias does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(x: Shape, weight: Shape, bias: Shape | None, dilation: int) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap."""
    return 2 * prod(x) * prod(weight[1:])


def backward_flops(
    x: Shape, weight: Shape, bias: Shape | None, dilation: int, needs: Sequence[bool] = (True, True, True)
) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each of grad x and grad weight."""
    return forward_flops(x, weight, bias, dilation) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(x: Shape, weight: Shape, bias: Shape | None, dilation: int, itemsize: int) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (2 * prod(x) + prod(weight) + (prod(bias) if bias is not None else 0))


def backward_bytes(x: Shape, weight: Shape, bias: Shape | None, dilation: int, itemsize: int) -> int:
    """Return the bytes of the backward pass: x, weight and the output's gradient in, three gradients out."""
    return itemsize * (3 * prod(x) + 2 * prod(weight) + (prod(bias) if bias is not None else 0))
