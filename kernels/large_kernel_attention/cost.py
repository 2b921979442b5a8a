"""Arithmetic and least memory traffic of large kernel attention, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count, biases and the gate do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def _each(u: Shape, *weights: Shape) -> list[int]:
    """Return the FLOPs of each convolution: a multiply and an add for each position, channel and tap."""
    return [2 * prod(u) * prod(weight[1:]) for weight in weights]


def forward_flops(
    u: Shape,
    local_weight: Shape,
    local_bias: Shape,
    dilated_weight: Shape,
    dilated_bias: Shape,
    pointwise_weight: Shape,
    pointwise_bias: Shape,
    dilation: int,
) -> int:
    """Return the FLOPs of the forward pass."""
    return sum(_each(u, local_weight, dilated_weight, pointwise_weight))


def backward_flops(
    u: Shape,
    local_weight: Shape,
    local_bias: Shape,
    dilated_weight: Shape,
    dilated_bias: Shape,
    pointwise_weight: Shape,
    pointwise_bias: Shape,
    dilation: int,
    needs: Sequence[bool] = (True,) * 7,
) -> int:
    """Return the FLOPs of the backward pass: those of each weight's gradient, and of what each convolution reads.

    What is computed again does not count.
    """
    local, dilated, pointwise = _each(u, local_weight, dilated_weight, pointwise_weight)
    weights = local * bool(needs[1]) + dilated * bool(needs[3]) + pointwise * bool(needs[5])
    through = [pointwise] * any(needs[:5]) + [dilated] * any(needs[:3]) + [local] * bool(needs[0])
    return weights + sum(through)


def _parameters(*shapes: Shape) -> int:
    return sum(prod(shape) for shape in shapes)


def forward_bytes(
    u: Shape,
    local_weight: Shape,
    local_bias: Shape,
    dilated_weight: Shape,
    dilated_bias: Shape,
    pointwise_weight: Shape,
    pointwise_bias: Shape,
    dilation: int,
    itemsize: int,
) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    parameters = _parameters(local_weight, local_bias, dilated_weight, dilated_bias, pointwise_weight, pointwise_bias)
    return itemsize * (2 * prod(u) + parameters)


def backward_bytes(
    u: Shape,
    local_weight: Shape,
    local_bias: Shape,
    dilated_weight: Shape,
    dilated_bias: Shape,
    pointwise_weight: Shape,
    pointwise_bias: Shape,
    dilation: int,
    itemsize: int,
) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    parameters = _parameters(local_weight, local_bias, dilated_weight, dilated_bias, pointwise_weight, pointwise_bias)
    return itemsize * (3 * prod(u) + 2 * parameters)
