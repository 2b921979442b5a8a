"""Arithmetic and least memory traffic of outlook attention, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(scores: Shape, value: Shape, kernel_size: int, stride: int, padding: int, scale: float) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each score and channel."""
    return 2 * prod(scores) * value[-1]


def backward_flops(
    scores: Shape,
    value: Shape,
    kernel_size: int,
    stride: int,
    padding: int,
    scale: float,
    needs: Sequence[bool] = (True, True),
) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each gradient."""
    each = forward_flops(scores, value, kernel_size, stride, padding, scale)
    return each * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(
    scores: Shape, value: Shape, kernel_size: int, stride: int, padding: int, scale: float, itemsize: int
) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (prod(scores) + 2 * prod(value))


def backward_bytes(
    scores: Shape, value: Shape, kernel_size: int, stride: int, padding: int, scale: float, itemsize: int
) -> int:
    """Return the bytes of the backward pass: both arguments and the output's gradient in, both gradients out."""
    return itemsize * (2 * prod(scores) + 3 * prod(value))
