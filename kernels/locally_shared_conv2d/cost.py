"""Arithmetic and least memory traffic of the locally shared convolution, from the shapes of its arguments.

They are those of a convolution with more filters; the bias does not count, as in PyTorch's own formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.cost import elements
from claimbench.kernels.locally_shared_conv2d.reference import Arguments, output_size


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return len(args.x) * args.weight.shape[1] * prod(output_size(args))


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each output element and tap of its filter."""
    return 2 * _out(args) * prod(args.weight.shape[2:])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each of grad x and grad weight."""
    return forward_flops(args) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.x.itemsize * (elements(args) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: x, weight and the output's gradient in, the arguments' gradients out."""
    return args.x.itemsize * (2 * elements(args) + _out(args))
