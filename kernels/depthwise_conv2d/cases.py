"""The problems that the depthwise convolution is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], kernel: tuple[int, int], layout: str, dilation: int = 1, bias: bool = True) -> Case:
    channels = shape[1]

    def make(generator: Generator) -> tuple[Any, ...]:
        x = feature_map(generator, shape, layout)
        weight = torch.randn((channels, 1, *kernel), generator=generator, dtype=torch.float64)
        shift = torch.randn(channels, generator=generator, dtype=torch.float64)
        return x, weight, shift if bias else None, dilation

    words = [*(["dilation=" + str(dilation)] if dilation > 1 else []), *([] if bias else ["no bias"])]
    return Case(" ".join(["x".join(map(str, shape)), f"k={kernel[0]}x{kernel[1]}", layout, *words]), make)


CHECK = (
    _case((2, 8, 7, 9), (3, 3), "channels-last"),
    _case((1, 20, 6, 17), (3, 3), "channels-last", bias=False),
    _case((1, 512, 6, 2), (3, 3), "channels-last"),
    _case((2, 16, 10, 1), (5, 5), "channels-last"),
    _case((1, 3, 5, 4), (3, 3), "channels-last"),
    _case((1, 8, 6, 19), (9, 17), "channels-last"),
    _case((2, 9, 7, 8), (7, 5), "contiguous"),
    _case((1, 16, 11, 10), (3, 3), "channels-last", dilation=3),
    _case((1, 12, 13, 9), (7, 3), "sliced", dilation=2, bias=False),
    _case((1, 8, 4, 6), (3, 3), "contiguous"),
    _case((1, 2, 4, 4), (1, 1), "sliced"),
)

BENCH = tuple(
    _case((8, channels, side, side), (kernel, kernel), "channels-last")
    for kernel, channels, side in (
        (17, 64, 56),
        (15, 128, 28),
        (13, 256, 14),
        (13, 320, 14),
        (7, 512, 7),
        (3, 64, 56),
        (3, 256, 56),
        (3, 128, 28),
        (3, 512, 28),
        (3, 1024, 14),
        (3, 640, 7),
    )
)
