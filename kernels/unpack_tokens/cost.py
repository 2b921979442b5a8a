"""Arithmetic and least memory traffic of unpacking, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.unpack_tokens.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return 0: rows are moved."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True, False, True)) -> int:
    """Return 0: rows are moved back."""
    return 0


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: the mask, the rows and the rest of the canvas in, a whole canvas out."""
    return args.alive.numel() + 2 * args.canvas.itemsize * args.canvas.numel()


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the mask and the output's gradient in, both gradients out."""
    return args.alive.numel() + args.canvas.itemsize * (2 * args.canvas.numel() + args.rows.numel())
