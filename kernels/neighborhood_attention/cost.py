"""Arithmetic and least memory traffic of neighbourhood attention, from the shapes of its arguments.

Only the two products count, as in the formula of PyTorch's own attention; neither depends on the dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.cost import elements
from claimbench.kernels.neighborhood_attention.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each product of scores and of sums."""
    return 2 * prod(args.kernel_size) * (args.query.numel() + args.value.numel())


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 4) -> int:
    """Return the FLOPs of the backward pass: scores, the weights' gradient, then one product a gradient."""
    scores = 2 * prod(args.kernel_size) * args.query.numel()
    weights = 2 * prod(args.kernel_size) * args.value.numel()
    through_softmax = weights if needs[0] or needs[1] or needs[3] else 0
    return scores * (1 + bool(needs[0]) + bool(needs[1])) + weights * bool(needs[2]) + through_softmax


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.value.itemsize * (elements(args) + args.value.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, all gradients out."""
    return args.value.itemsize * (2 * elements(args) + args.value.numel())
