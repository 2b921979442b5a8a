"""Arithmetic and least memory traffic of wave aggregation, from the shapes of its arguments.

As in PyTorch's own counter, elementwise arithmetic counts as free: the operator is bound by memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.wave_aggregate.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return 0: the forward pass holds no product of matrices and no convolution."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 4) -> int:
    """Return 0, as for the forward pass."""
    return 0


def _out_bytes(args: Arguments) -> int:
    """Return the bytes of the output, which is float32 at least."""
    return max(args.theta.itemsize, 4) * args.theta.numel()


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when each tensor moves once."""
    return args.x.itemsize * (args.x.numel() + 2 * args.theta.numel() + args.wave.numel()) + _out_bytes(args)


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, three gradients out."""
    return args.x.itemsize * (args.x.numel() + 4 * args.theta.numel() + 2 * args.wave.numel()) + _out_bytes(args)
