"""The problems that outlook attention is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case
from claimbench.kernels.outlook_attention import windows_along


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _case(
    batch: int, height: int, width: int, groups: int, channels: int, k: int, stride: int, padding: int, layout: str = ""
) -> Case:
    """Return a case; ``layout`` says how the tensors lie: contiguous, channels-first or sliced."""

    def make(generator: Generator) -> tuple[Any, ...]:
        rows, columns = (windows_along(length, k, stride, padding) for length in (height, width))
        scores = 2 * _normal(generator, batch, rows, columns, groups, k * k, k * k)
        if layout == "channels-first":
            value = _normal(generator, batch, groups, channels, height, width).permute(0, 3, 4, 1, 2)
            scores = scores.permute(0, 3, 5, 4, 1, 2).contiguous().permute(0, 4, 5, 1, 3, 2)
        elif layout == "sliced":
            value = _normal(generator, batch, height, width + 3, groups, 2 * channels)[:, :, 2:-1, :, ::2]
            scores = torch.cat([scores, scores], dim=-1)[..., : k * k]
        else:
            value = _normal(generator, batch, height, width, groups, channels)
        return scores, value, k, stride, padding, channels**-0.5

    name = f"{batch}x{height}x{width}x{groups}x{channels} k={k} stride={stride} padding={padding} {layout}"
    return Case(name.rstrip(), make)


CHECK = (
    _case(2, 5, 6, 2, 5, 3, 2, 1),
    _case(1, 6, 4, 1, 16, 3, 2, 1),
    _case(1, 4, 5, 2, 32, 3, 1, 1, layout="channels-first"),
    _case(1, 8, 7, 1, 7, 3, 3, 0, layout="sliced"),
    _case(1, 7, 6, 1, 9, 5, 2, 2),
    _case(1, 7, 7, 1, 4, 2, 3, 0),
    _case(1, 6, 5, 2, 1, 1, 1, 0),
    _case(1, 17, 5, 1, 33, 3, 2, 2),
)

BENCH = (
    _case(8, 28, 28, 6, 32, 3, 2, 1),
    _case(8, 28, 28, 8, 32, 3, 2, 1),
    _case(1, 48, 48, 12, 32, 3, 2, 1),
    _case(8, 28, 28, 6, 32, 3, 1, 1),
)
