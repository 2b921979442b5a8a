"""The definition of the cross-merge in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from claimbench.kernels.cross_scan.reference import DIRECTIONS, SCANS, back


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.cross_merge.cross_merge`, ``scans`` as a position in ``SCANS``."""

    y: Tensor
    height: int
    width: int
    scans: int
    channels_last: bool


def merged(y: Tensor, height: int, width: int, scans: int) -> Tensor:
    """Return the map (B, C, H, W) that is the sum of four sequences (B, 4, C, H * W), each put back in its place."""
    first, *others = (
        back(y[:, number], direction, height, width) for number, direction in enumerate(DIRECTIONS[SCANS[scans]])
    )
    for other in others:
        first = first + other
    return first


def cross_merge(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.cross_merge.cross_merge`."""
    y, height, width, scans, channels_last = args
    if channels_last:
        return merged(y.permute(0, 2, 3, 1), height, width, scans).permute(0, 2, 3, 1)
    return merged(y, height, width, scans)
