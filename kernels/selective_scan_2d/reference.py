"""The definition of the selective scan over a map in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from claimbench.kernels.cross_merge.reference import merged
from claimbench.kernels.cross_scan.reference import DIRECTIONS, SCANS, along, four_sequences
from claimbench.kernels.selective_scan import reference as scan


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.selective_scan_2d.selective_scan_2d`; ``scans`` as a position."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    scans: int


def _ordered(maps: Tensor, scans: int) -> Tensor:
    """Return four maps (B, 4, C, H, W), each in the order of its own direction: (B, 4, C, H * W)."""
    directions = DIRECTIONS[SCANS[scans]]
    return torch.stack([along(maps[:, number], direction) for number, direction in enumerate(directions)], dim=1)


def selective_scan_2d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.selective_scan_2d.selective_scan_2d`."""
    u, delta, A, B, C, D, delta_bias, delta_softplus, scans = args
    wide = u.to(scan.state_dtype(u.dtype))
    sequences = four_sequences(wide, scans).flatten(1, 2)
    delta, B, C = (_ordered(maps.to(wide.dtype), scans) for maps in (delta, B, C))
    out, _ = scan.selective_scan(
        scan.Arguments(sequences, delta.flatten(1, 2), A, B, C, D, None, delta_bias, None, delta_softplus)
    )
    height, width = u.shape[2:]
    return merged(out.unflatten(1, (4, -1)), height, width, scans).to(u.dtype)
