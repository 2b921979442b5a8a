"""The definition of the cross-scan in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# The directions of the four sequences: 0 along rows, 1 along columns, 2 and 3 the same from the end.
DIRECTIONS = {"cross2d": (0, 1, 2, 3), "unidi": (0, 0, 0, 0), "bidi": (0, 0, 2, 2)}
SCANS = tuple(DIRECTIONS)


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.cross_scan.cross_scan`, ``scans`` as a position in ``SCANS``."""

    x: Tensor
    scans: int
    channels_last: bool


def scan_number(name: str, scans: str) -> int:
    """Return the position of ``scans`` among :data:`SCANS`; ``name`` is the operator's.

    Raises:
        ValueError: there is no such order of scanning.
    """
    if scans not in DIRECTIONS:
        raise ValueError(f"{name}: scans must be one of {', '.join(SCANS)}, got {scans!r}")
    return SCANS.index(scans)


def check_scans(name: str, scans: int) -> None:
    """Raise ValueError if ``scans`` is no position in :data:`SCANS`."""
    if not 0 <= scans < len(SCANS):
        raise ValueError(f"{name}: scans must be from 0 to {len(SCANS) - 1}, got {scans}")


def along(x: Tensor, direction: int) -> Tensor:
    """Return the positions of maps (..., H, W) in the order of a direction: (..., H * W)."""
    sequence = (x.mT if direction % 2 else x).flatten(-2)
    return sequence.flip(-1) if direction >= 2 else sequence


def back(sequence: Tensor, direction: int, height: int, width: int) -> Tensor:
    """Return the maps (..., height, width) of sequences in the order of a direction; the inverse of :func:`along`."""
    sequence = sequence.flip(-1) if direction >= 2 else sequence
    return sequence.unflatten(-1, (width, height)).mT if direction % 2 else sequence.unflatten(-1, (height, width))


def four_sequences(x: Tensor, scans: int) -> Tensor:
    """Return the four sequences (B, 4, C, H * W) of a map (B, C, H, W)."""
    return torch.stack([along(x, direction) for direction in DIRECTIONS[SCANS[scans]]], dim=1)


def cross_scan(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.cross_scan.cross_scan`."""
    x, scans, channels_last = args
    if channels_last:
        return four_sequences(x.permute(0, 3, 1, 2), scans).permute(0, 3, 1, 2)
    return four_sequences(x, scans)
