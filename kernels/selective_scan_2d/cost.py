"""Arithmetic and least memory traffic of the selective scan over a map, from the shapes of its arguments.

It counts as four scans and the three additions that join them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from claimbench.kernels.cost import elements
from claimbench.kernels.selective_scan import cost
from claimbench.kernels.selective_scan import reference as scan
from claimbench.kernels.selective_scan_2d.reference import Arguments


def _four_scans(args: Arguments) -> scan.Arguments:
    """Return the arguments of the scan over all four sequences, as shapes without data."""

    def shape(maps: torch.Tensor, *size: int) -> torch.Tensor:
        return torch.empty(*size, maps.shape[-2] * maps.shape[-1], device="meta")

    batch, channels = args.delta.shape[0], args.A.shape[0]
    u = shape(args.u, batch, channels)
    B = shape(args.B, *args.B.shape[:3])
    return scan.Arguments(u, u, args.A, B, B, args.D, None, args.delta_bias, None, args.delta_softplus)


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass."""
    return cost.forward_flops(_four_scans(args)) + 3 * args.u.numel()


def published_flops(args: Arguments) -> int:
    """Return the count that papers print: :func:`claimbench.kernels.selective_scan.cost.published_flops`."""
    return cost.published_flops(_four_scans(args))


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 7) -> int:
    """Return the FLOPs of the backward pass where any gradient is needed."""
    return cost.backward_flops(_four_scans(args), needs) + 3 * args.u.numel() * bool(needs[0])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the output is written once."""
    return args.u.itemsize * (elements(args) + args.u.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the output's gradient and the arguments in, all gradients out."""
    return args.u.itemsize * (2 * elements(args) + args.u.numel())
