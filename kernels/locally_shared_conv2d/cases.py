"""The problems that the locally shared convolution is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(
    shape: tuple[int, ...],
    out: int,
    kernel: tuple[int, int],
    grid: tuple[int, int],
    layout: str = "contiguous",
    stride: int = 1,
    bias: bool = True,
) -> Case:
    def make(generator: Generator) -> tuple[Any, ...]:
        cells = grid[0] * grid[1]
        weight = torch.randn((cells, out, shape[1], *kernel), generator=generator, dtype=torch.float64)
        shift = torch.randn((cells, out), generator=generator, dtype=torch.float64)
        return feature_map(generator, shape, layout), weight, shift if bias else None, *grid, stride

    words = [f"stride={stride}"] * (stride > 1) + ["no bias"] * (not bias)
    sizes = ["x".join(map(str, each)) for each in (shape, kernel, grid)]
    return Case(" ".join([sizes[0], f"to {out}", f"k={sizes[1]}", f"grid={sizes[2]}", layout, *words]), make)


CHECK = (
    _case((2, 3, 9, 10), 4, (3, 3), (3, 3)),
    _case((1, 5, 12, 7), 6, (3, 2), (2, 3), "sliced", bias=False),
    _case((2, 4, 11, 13), 3, (3, 3), (2, 2), "channels-last", stride=2),
    _case((1, 2, 8, 8), 3, (3, 3), (1, 1)),
    _case((1, 3, 4, 5), 2, (3, 3), (3, 4)),
    _case((1, 17, 20, 21), 33, (2, 2), (3, 3)),
    _case((1, 1, 3, 3), 1, (3, 3), (1, 1), bias=False),
)

BENCH = tuple(
    _case((8, channels, side, side), out, (3, 3), (grid, grid))
    for channels, out, side, grid in ((64, 64, 56, 1), (64, 64, 56, 3), (40, 60, 26, 3), (128, 128, 30, 3))
)
