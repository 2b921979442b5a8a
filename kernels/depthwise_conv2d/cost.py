"""Arithmetic and least memory traffic of the depthwise convolution, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count and the bias does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.cost import elements
from claimbench.kernels.depthwise_conv2d.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap."""
    return 2 * args.x.numel() * prod(args.weight.shape[1:])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each of grad x and grad weight."""
    return forward_flops(args) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.x.itemsize * (elements(args) + args.x.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: x, weight and the output's gradient in, three gradients out."""
    return args.x.itemsize * (elements(args) + 2 * args.x.numel() + args.weight.numel())
