"""Arithmetic and least memory traffic of neighbourhood aggregation, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(weights: Shape, value: Shape, kernel_size: int, dilation: int) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each weight and channel."""
    return 2 * prod(value) * kernel_size**2


def backward_flops(
    weights: Shape, value: Shape, kernel_size: int, dilation: int, needs: Sequence[bool] = (True, True)
) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each gradient."""
    return forward_flops(weights, value, kernel_size, dilation) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(weights: Shape, value: Shape, kernel_size: int, dilation: int, itemsize: int) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (prod(weights) + 2 * prod(value))


def backward_bytes(weights: Shape, value: Shape, kernel_size: int, dilation: int, itemsize: int) -> int:
    """Return the bytes of the backward pass: both arguments and the output's gradient in, both gradients out."""
    return itemsize * (2 * prod(weights) + 3 * prod(value))
