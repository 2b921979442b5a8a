"""Arithmetic and least memory traffic of biased attention, from the shapes of its arguments.

The FLOPs are those of the two products, scores and mixing; biases, softmax and the gate's mix are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.biased_attention.reference import Arguments
from claimbench.kernels.cost import elements


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair of positions and channel."""
    positions = args.query.shape[3] * args.query.shape[4]
    return 2 * positions * (args.query.numel() + args.value.numel())


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 5) -> int:
    """Return the FLOPs of the backward pass: each product gives rise to two. The recomputation is not counted."""
    return 2 * forward_flops(args)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return args.value.itemsize * (elements(args) + args.value.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, every gradient out."""
    return args.value.itemsize * (2 * elements(args) + args.value.numel())
