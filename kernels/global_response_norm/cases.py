"""The problems that global response normalisation is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], layout: str, eps: float = 1e-6) -> Case:
    def make(generator: Generator) -> tuple[Any, ...]:
        x = feature_map(generator, shape, layout)
        gamma, beta = torch.randn((2, shape[1]), generator=generator, dtype=torch.float64)
        return x, gamma, beta, eps

    return Case(f"{'x'.join(map(str, shape))} {layout}", make)


CHECK = (
    _case((3, 9, 5, 7), "channels-last"),
    _case((2, 33, 17, 16), "channels-last", eps=0.5),
    _case((1, 64, 3, 3), "contiguous"),
    _case((2, 5, 13, 11), "contiguous"),
    _case((2, 6, 4, 3), "sliced"),
    _case((1, 40, 1, 1), "channels-last"),
)

BENCH = tuple(
    _case((8, channels, side, side), "channels-last")
    for channels, side in ((256, 56), (512, 28), (1024, 14), (2048, 7))
)
