"""The problems that large kernel attention is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], layout: str, kernels: tuple[int, int] = (5, 7), dilation: int = 3) -> Case:
    channels = shape[1]

    def make(generator: Generator) -> tuple[Any, ...]:
        def normal(*sizes: int) -> torch.Tensor:
            return torch.randn(sizes, generator=generator, dtype=torch.float64)

        u = feature_map(generator, shape, layout)
        local, dilated = (normal(channels, 1, size, size) / size for size in kernels)
        pointwise = normal(channels, channels, 1, 1) / channels**0.5
        return u, local, normal(channels), dilated, normal(channels), pointwise, normal(channels), dilation

    words = ["x".join(map(str, shape)), f"k={kernels[0]},{kernels[1]} dilation={dilation}", layout]
    return Case(" ".join(words), make)


CHECK = (
    _case((2, 8, 11, 25), "channels-last"),
    _case((1, 20, 4, 3), "channels-last"),
    _case((1, 19, 9, 8), "channels-last", (3, 3), 2),
    _case((2, 5, 7, 6), "contiguous"),
    _case((1, 6, 5, 9), "sliced", (3, 5), 1),
    _case((1, 8, 1, 1), "channels-last"),
)

BENCH = tuple(
    _case((8, channels, side, side), "channels-last") for channels, side in ((32, 56), (64, 28), (160, 14), (256, 7))
)
