"""Arithmetic and least memory traffic of the cross-merge, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cross_merge.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: three additions for each element of the map."""
    return args.y.numel() // 4 * 3


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,)) -> int:
    """Return the FLOPs of the backward pass: copies, which are not counted."""
    return 0


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: four sequences in, the map out."""
    return args.y.numel() // 4 * 5 * args.y.itemsize


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the map in, four sequences out."""
    return forward_bytes(args)
