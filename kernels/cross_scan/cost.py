"""Arithmetic and least memory traffic of the cross-scan, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cross_scan.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: copies, which are not counted."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,)) -> int:
    """Return the FLOPs of the backward pass: three additions for each element of the map."""
    return 3 * args.x.numel() * bool(needs[0])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: the map in, four sequences out."""
    return 5 * args.x.numel() * args.x.itemsize


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: four sequences in, the map out."""
    return forward_bytes(args)
