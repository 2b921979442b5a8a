"""Arithmetic and least memory traffic of the permutohedral filter, from the shapes of its arguments.

The number of vertices of the lattice, and with it the work of the blurs, depends on the features' values. The formulas
count the work of every lattice of these shapes: splat and slice over the F + 1 vertices around each point.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.permutohedral_filter.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of splat and slice: a multiply and an add each for every channel, point and vertex around it."""
    return 4 * args.values.numel() * (args.features.shape[1] + 1)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 2) -> int:
    """Return the FLOPs of the backward pass: the transposed filter for the values, nothing for the features."""
    return forward_flops(args) * bool(needs[0])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.values.itemsize * (2 * args.values.numel() + args.features.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the output's gradient and the features in, two gradients out."""
    return args.values.itemsize * (2 * args.values.numel() + 2 * args.features.numel())
