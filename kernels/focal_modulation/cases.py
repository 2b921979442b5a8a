"""The problems that focal modulation's context is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], kernel_sizes: tuple[int, ...], layout: str) -> Case:
    """Return a case; ``joint`` cuts context and gates from one channels-last map, as one projection gives them."""

    def make(generator: Generator) -> tuple[Any, ...]:
        batch, channels, *sides = shape
        levels = len(kernel_sizes) + 1
        if layout == "joint":
            both = feature_map(generator, (batch, channels + levels, *sides), "channels-last")
            context, gates = both[:, :channels], both[:, channels:]
        else:
            context = feature_map(generator, shape, layout)
            gates = feature_map(generator, (batch, levels, *sides), layout)
        taps = torch.randn((channels, sum(size**2 for size in kernel_sizes)), generator=generator, dtype=torch.float64)
        return context, gates, taps / 3, list(kernel_sizes)

    sizes = ",".join(map(str, kernel_sizes)) or "none"
    return Case(f"{'x'.join(map(str, shape))} kernels={sizes} {layout}", make)


CHECK = (
    _case((2, 16, 7, 9), (3, 5), "joint"),
    _case((2, 8, 6, 5), (3,), "channels-last"),
    _case((1, 11, 5, 8), (3, 5, 7), "channels-last"),
    _case((2, 5, 4, 6), (5, 3), "contiguous"),
    _case((1, 6, 9, 4), (3, 5), "sliced"),
    _case((1, 40, 3, 2), (3, 5), "joint"),
    _case((2, 9, 1, 1), (), "channels-last"),
)

BENCH = (
    _case((8, 96, 56, 56), (3, 5), "joint"),
    _case((8, 192, 28, 28), (3, 5), "joint"),
    _case((8, 384, 14, 14), (3, 5), "joint"),
    _case((8, 768, 7, 7), (3, 5), "joint"),
    _case((8, 384, 14, 14), (3, 5, 7), "joint"),
)
