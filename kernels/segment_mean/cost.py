"""Arithmetic and least memory traffic of the segment mean, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.segment_mean.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: an addition for each value; divisions are one a segment."""
    return args.x.numel()


def backward_flops(args: Arguments, needs: Sequence[bool] = (True, False)) -> int:
    """Return the FLOPs of the backward pass: the same mean of the gradient."""
    return forward_flops(args) * bool(needs[0])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: values and segments in, values out."""
    return 2 * args.x.itemsize * args.x.numel() + args.segments.itemsize * args.segments.numel()


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: those of the forward pass."""
    return forward_bytes(args)
