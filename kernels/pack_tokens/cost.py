"""Arithmetic and least memory traffic of packing, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.pack_tokens.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return 0: rows are moved."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True, False)) -> int:
    """Return 0: rows are moved back."""
    return 0


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: the mask and the rows that are alive in, these rows out."""
    return args.alive.numel() + 2 * args.tokens.itemsize * args.length * args.tokens.shape[1]


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the mask and the gradient's rows in, a gradient of every token out."""
    return args.alive.numel() + args.tokens.itemsize * (args.length * args.tokens.shape[1] + args.tokens.numel())
