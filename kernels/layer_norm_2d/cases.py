"""The problems that LayerNorm over channels is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], layout: str, eps: float = 1e-6) -> Case:
    def make(generator: Generator) -> tuple[Any, ...]:
        x = 2 * feature_map(generator, shape, layout) + 3
        weight, bias = torch.randn((2, shape[1]), generator=generator, dtype=torch.float64)
        return x, weight, bias, eps

    return Case(f"{'x'.join(map(str, shape))} {layout}", make)


CHECK = (
    _case((2, 9, 5, 7), "channels-last"),
    _case((1, 64, 3, 3), "contiguous", eps=1e-3),
    _case((2, 130, 4, 5), "contiguous"),
    _case((2, 6, 4, 3), "sliced"),
    _case((1, 40, 1, 1), "channels-last"),
)

BENCH = tuple(
    _case((8, channels, side, side), "channels-last") for channels, side in ((64, 56), (128, 28), (320, 14), (640, 7))
)
