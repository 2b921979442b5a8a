"""Arithmetic and least memory traffic of neighbourhood aggregation, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.neighborhood_aggregate.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each weight and channel."""
    return 2 * args.value.numel() * args.kernel_size**2


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 2) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for each gradient."""
    return forward_flops(args) * (bool(needs[0]) + bool(needs[1]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.value.itemsize * (args.weights.numel() + 2 * args.value.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: both arguments and the output's gradient in, both gradients out."""
    return args.value.itemsize * (2 * args.weights.numel() + 3 * args.value.numel())
