"""Arithmetic and least memory traffic of the exit by class, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.exit_by_class.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return 0: the operator compares and counts, and multiplies nothing."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True, False)) -> int:
    """Return 0: the gradient of a choice is zero."""
    return 0


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every score is read once."""
    return args.scores.itemsize * (args.scores.numel() + args.gone.numel()) + args.gone.numel()


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: a gradient of zeros."""
    return args.scores.itemsize * args.scores.numel()
