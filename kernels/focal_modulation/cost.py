"""Arithmetic and least memory traffic of focal modulation's context, from the shapes of its arguments.

As in PyTorch's own counter, taps that fall on the zero padding count and elementwise arithmetic does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cost import elements
from claimbench.kernels.focal_modulation.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each position, channel and tap."""
    return 2 * args.context.numel() * args.taps.shape[1]


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass: the convolutions' for their weights and for the inputs of the levels.

    The first level's input needs a gradient only where the context does. Recomputed levels do not count.
    """
    if not (needs[0] or needs[2]):
        return 0
    each = [2 * args.context.numel() * size**2 for size in args.kernel_sizes]
    return sum(each[0 if needs[0] else 1 :]) + (sum(each) if needs[2] else 0)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.context.itemsize * (elements(args) + args.context.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, three gradients out."""
    return args.context.itemsize * (2 * elements(args) + args.context.numel())
