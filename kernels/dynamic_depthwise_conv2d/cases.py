"""The problems that the dynamic depthwise convolution is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], kernel: tuple[int, int], layout: str, taps_first: bool = False) -> Case:
    """Return a case; with ``taps_first`` a tap of all channels lies side by side."""

    def make(generator: Generator) -> tuple[Any, ...]:
        x = feature_map(generator, shape, layout)
        taps = torch.randn((*shape[:2], *kernel), generator=generator, dtype=torch.float64)
        return x, taps.to(memory_format=torch.channels_last) if taps_first else taps

    words = ["x".join(map(str, shape)), f"k={kernel[0]}x{kernel[1]}", layout, *(["taps first"] if taps_first else [])]
    return Case(" ".join(words), make)


CHECK = (
    _case((2, 8, 7, 9), (3, 3), "channels-last"),
    _case((3, 20, 6, 17), (3, 3), "channels-last", taps_first=True),
    _case((2, 512, 5, 2), (3, 3), "channels-last"),
    _case((2, 16, 10, 1), (5, 5), "channels-last"),
    _case((2, 3, 5, 4), (3, 3), "channels-last"),
    _case((2, 9, 7, 8), (7, 5), "contiguous"),
    _case((2, 12, 13, 9), (7, 3), "sliced", taps_first=True),
    _case((2, 8, 4, 6), (3, 3), "contiguous"),
    _case((1, 2, 4, 4), (1, 1), "sliced"),
)

BENCH = tuple(
    _case((8, channels, side, side), (3, 3), "channels-last")
    for channels, side in ((32, 56), (64, 28), (128, 14), (240, 7), (384, 16))
)
