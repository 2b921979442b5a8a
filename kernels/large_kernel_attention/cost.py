"""Arithmetic and least memory traffic of large kernel attention, from the shapes of its arguments.

As in PyTorch's own convolution formula, taps that fall on the zero padding count, biases and the gate do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.cost import elements
from claimbench.kernels.large_kernel_attention.reference import Arguments


def _each(args: Arguments) -> list[int]:
    """Return the FLOPs of each convolution: a multiply and an add for each position, channel and tap."""
    weights = (args.local_weight, args.dilated_weight, args.pointwise_weight)
    return [2 * args.u.numel() * prod(weight.shape[1:]) for weight in weights]


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass."""
    return sum(_each(args))


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 7) -> int:
    """Return the FLOPs of the backward pass: those of the gradients of each convolution's weight and input.

    The recomputation does not count.
    """
    local, dilated, pointwise = _each(args)
    weights = local * bool(needs[1]) + dilated * bool(needs[3]) + pointwise * bool(needs[5])
    through = [pointwise] * any(needs[:5]) + [dilated] * any(needs[:3]) + [local] * bool(needs[0])
    return weights + sum(through)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.u.itemsize * (elements(args) + args.u.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    return args.u.itemsize * (2 * elements(args) + args.u.numel())
