"""Arithmetic and least memory traffic of the dynamic depthwise convolution, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.dynamic_depthwise_conv2d.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap."""
    return 2 * args.x.numel() * prod(args.kernel.shape[2:])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 2) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each gradient."""
    return forward_flops(args) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.x.itemsize * (2 * args.x.numel() + args.kernel.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: both arguments and the output's gradient in, both gradients out."""
    return args.x.itemsize * (3 * args.x.numel() + 2 * args.kernel.numel())
