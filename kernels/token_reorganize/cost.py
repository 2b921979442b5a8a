"""Arithmetic and least memory traffic of token reorganisation, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.token_reorganize.reference import Arguments


def _dropped(args: Arguments) -> int:
    """Return the number of elements of the tokens that are dropped, 0 where they are not fused."""
    return args.fuse * args.tokens.shape[0] * (args.scores.shape[1] - args.keep) * args.tokens.shape[2]


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return args.tokens.shape[0] * (1 + args.keep + args.fuse) * args.tokens.shape[2]


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each channel of a dropped token, where fused."""
    return 2 * _dropped(args)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 2) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for the gradient of the scores.

    The gradient of the tokens is scaled copies, which are not counted.
    """
    return forward_flops(args) * bool(needs[1])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass: dropped tokens are read only where they are fused."""
    read = args.tokens.numel() if args.fuse else _out(args)
    return args.tokens.itemsize * (read + args.scores.numel() + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the output's gradient, dropped tokens and scores in, two gradients out."""
    return args.tokens.itemsize * (_out(args) + _dropped(args) + args.tokens.numel() + 2 * args.scores.numel())
