"""Arithmetic and least memory traffic of the causal depthwise convolution, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall before the start count, and bias and SiLU do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.causal_conv1d.reference import Arguments
from claimbench.kernels.cost import elements


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap."""
    return 2 * args.x.numel() * args.weight.shape[1]


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass each for the gradients of x and weight."""
    return forward_flops(args) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.x.itemsize * (elements(args) + args.x.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    return args.x.itemsize * (2 * elements(args) + args.x.numel())
