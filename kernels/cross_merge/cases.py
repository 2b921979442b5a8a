"""The problems that the cross-merge is checked and timed on."""

from __future__ import annotations

from typing import Any

from torch import Generator

from claimbench.kernels.cases import Case, feature_map
from claimbench.kernels.cross_scan.reference import SCANS


def _case(shape: tuple[int, ...], scans: str, layout: str = "contiguous", channels_last: bool = False) -> Case:
    """Return a case; ``shape`` is (B, C, H, W) of the result, and ``layout`` that of the sequences."""
    batch, channels, height, width = shape
    sequences = (batch, height * width, 4, channels) if channels_last else (batch, 4, channels, height * width)

    def make(generator: Generator) -> tuple[Any, ...]:
        return feature_map(generator, sequences, layout), height, width, SCANS.index(scans), channels_last

    words = ["x".join(map(str, shape)), scans, layout, "as BHWC" if channels_last else ""]
    return Case(" ".join(filter(None, words)), make)


CHECK = (
    _case((2, 3, 5, 7), "cross2d"),
    _case((2, 19, 17, 18), "cross2d"),
    _case((2, 19, 17, 5), "cross2d", channels_last=True),
    _case((1, 4, 6, 3), "cross2d", "sliced", channels_last=True),
    _case((1, 4, 1, 9), "cross2d", "sliced"),
    _case((1, 3, 9, 1), "bidi", "channels-last"),
    _case((2, 5, 4, 20), "unidi"),
    _case((2, 6, 4, 5), "bidi", channels_last=True),
    _case((1, 2, 3, 4), "unidi", channels_last=True),
    _case((1, 1, 1, 1), "cross2d"),
    _case((0, 2, 3, 4), "cross2d"),
)

BENCH = (
    _case((8, 192, 56, 56), "cross2d"),
    _case((8, 384, 28, 28), "cross2d"),
    _case((8, 768, 14, 14), "cross2d"),
    _case((8, 192, 56, 56), "cross2d", channels_last=True),
)
