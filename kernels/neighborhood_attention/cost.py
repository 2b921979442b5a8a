"""Arithmetic and least memory traffic of neighbourhood attention, from the shapes of its arguments.

Only the two products count, as in the formula of PyTorch's own attention; neither depends on the dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(
    query: Shape,
    key: Shape,
    value: Shape,
    bias: Shape | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each product of scores and of sums."""
    return 2 * prod(kernel_size) * (prod(query) + prod(value))


def backward_flops(
    query: Shape,
    key: Shape,
    value: Shape,
    bias: Shape | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
    needs: Sequence[bool] = (True, True, True, True),
) -> int:
    """Return the FLOPs of the backward pass: scores, the weights' gradient, then one product a gradient."""
    scores = 2 * prod(kernel_size) * prod(query)
    weights = 2 * prod(kernel_size) * prod(value)
    through_softmax = weights if needs[0] or needs[1] or needs[3] else 0
    return scores * (1 + bool(needs[0]) + bool(needs[1])) + weights * bool(needs[2]) + through_softmax


def forward_bytes(
    query: Shape,
    key: Shape,
    value: Shape,
    bias: Shape | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
    itemsize: int,
) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (2 * prod(query) + 2 * prod(value) + (prod(bias) if bias is not None else 0))


def backward_bytes(
    query: Shape,
    key: Shape,
    value: Shape,
    bias: Shape | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
    itemsize: int,
) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, all gradients out."""
    return itemsize * (4 * prod(query) + 3 * prod(value) + (2 * prod(bias) if bias is not None else 0))
