"""Arithmetic and least memory traffic of the box warp, from the shapes of its arguments.

Boxes depend on the values, so that every pixel counts as covered.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.box_warp.reference import Arguments
from claimbench.kernels.cost import elements

_FORWARD = 8
"""The FLOPs of a pixel: four taps, a multiply and an add each."""


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return args.visible.numel() * args.height * args.width


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: four taps a pixel."""
    return _FORWARD * _out(args)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass: as many for each gradient; that of a box has two slopes a pixel."""
    return _out(args) * _FORWARD * (bool(needs[0]) + 2 * bool(needs[1]) + bool(needs[2]))


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.mask.itemsize * (elements(args) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the arguments and the output's gradient in, three gradients out."""
    return args.mask.itemsize * (2 * elements(args) + _out(args))
