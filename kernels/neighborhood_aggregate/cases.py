"""The problems that neighbourhood aggregation is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _case(
    batch: int, groups: int, height: int, width: int, channels: int, k: int, d: int = 1, layout: str = ""
) -> Case:
    """Return a case; ``layout`` says how the tensors lie: contiguous, channels-last, channels-first or sliced."""

    def make(generator: Generator) -> tuple[Any, ...]:
        weights = _normal(generator, batch, groups, height, width, k * k).softmax(-1)
        if layout == "channels-last":
            value = _normal(generator, batch, height, width, groups, channels).permute(0, 3, 1, 2, 4)
        elif layout == "channels-first":
            value = _normal(generator, batch, groups, channels, height, width).permute(0, 1, 3, 4, 2)
            weights = weights.permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2)
        elif layout == "sliced":
            value = _normal(generator, batch, groups, height, width + 3, 2 * channels)[:, :, :, 2:-1, ::2]
            weights = torch.cat([weights, weights], dim=-1)[..., : k * k]
        else:
            value = _normal(generator, batch, groups, height, width, channels)
        return weights, value, k, d

    dilated = f" dilation={d}" if d > 1 else ""
    return Case(f"{batch}x{groups}x{height}x{width}x{channels} k={k}{dilated} {layout}".rstrip(), make)


CHECK = (
    _case(2, 3, 7, 9, 5, 3),
    _case(1, 2, 9, 7, 16, 7, layout="channels-last"),
    _case(2, 2, 5, 5, 14, 5, layout="channels-last"),
    _case(1, 2, 13, 17, 8, 13),
    _case(1, 1, 6, 11, 1, 1),
    _case(1, 2, 7, 9, 16, 3, d=2, layout="channels-first"),
    _case(2, 1, 11, 10, 5, 3, d=3, layout="sliced"),
    _case(1, 1, 15, 17, 33, 5, d=3),
    _case(1, 1, 10, 10, 40, 5, d=2, layout="channels-last"),
    _case(1, 1, 19, 11, 8, 5, layout="channels-last"),
)

BENCH = (
    _case(8, 8, 14, 14, 16, 13, layout="channels-last"),
    _case(8, 16, 7, 7, 16, 7, layout="channels-last"),
    _case(8, 8, 56, 56, 16, 5, layout="channels-last"),
    _case(8, 8, 56, 56, 16, 13, layout="channels-last"),
)
