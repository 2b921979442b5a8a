"""Arithmetic and least memory traffic of varied-size window attention, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cost import elements
from claimbench.kernels.varied_window_attention.reference import Arguments

TAPS = 4
"""A bilinear sample weighs four positions."""


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: sampling, scores and aggregation, two a multiply-add.

    Windows that reach beyond the map are counted whole, as the paper's own code computes them.
    """
    window = args.window_size**2
    keys = args.offset.numel() // 2 * window  # over all windows, groups and images
    return 2 * keys * (args.key.shape[4] + args.value.shape[4]) * (TAPS + window)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 6) -> int:
    """Return the FLOPs of the backward pass: two gradients for each product of the forward pass."""
    return 2 * forward_flops(args)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.value.itemsize * (elements(args) + args.value.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    return args.value.itemsize * (2 * elements(args) + args.value.numel())
