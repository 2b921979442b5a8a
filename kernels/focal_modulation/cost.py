"""Arithmetic and least memory traffic of focal modulation's context, from the shapes of its arguments.

As in PyTorch's own counter, taps that fall on the zero padding count and elementwise arithmetic does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(context: Shape, gates: Shape, taps: Shape, kernel_sizes: Sequence[int]) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each position, channel and tap."""
    return 2 * prod(context) * taps[1]


def backward_flops(
    context: Shape,
    gates: Shape,
    taps: Shape,
    kernel_sizes: Sequence[int],
    needs: Sequence[bool] = (True, True, True),
) -> int:
    """Return the FLOPs of the backward pass: the convolutions' for their weights and for what the levels read.

    The first level's input needs a gradient only where the context does. Recomputed levels do not count.
    """
    if not (needs[0] or needs[2]):
        return 0
    each = [2 * prod(context) * size**2 for size in kernel_sizes]
    return sum(each[0 if needs[0] else 1 :]) + (sum(each) if needs[2] else 0)


def forward_bytes(context: Shape, gates: Shape, taps: Shape, kernel_sizes: Sequence[int], itemsize: int) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return itemsize * (2 * prod(context) + prod(gates) + prod(taps))


def backward_bytes(context: Shape, gates: Shape, taps: Shape, kernel_sizes: Sequence[int], itemsize: int) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, three gradients out."""
    return itemsize * (3 * prod(context) + 2 * prod(gates) + 2 * prod(taps))
