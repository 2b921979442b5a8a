"""The problems that the causal depthwise convolution is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(shape: tuple[int, int, int], width: int, bias: bool = True, silu: bool = True, layout: str = "") -> Case:
    """Return a case; ``layout``: ``sliced`` for strided tensors, ``tokens`` for channels side by side in memory."""
    batch, channels, length = shape

    def make(generator: Generator) -> tuple[Any, ...]:
        size = (batch, length, channels) if layout == "tokens" else (batch, channels, 2 * length)
        numbers = torch.randn(size, generator=generator, dtype=torch.float64)
        x = {"tokens": numbers.mT, "sliced": numbers[..., 1::2]}.get(layout, numbers[..., :length].contiguous())
        weight = torch.randn(channels, width, generator=generator, dtype=torch.float64)
        return x, weight, torch.randn(channels, generator=generator, dtype=torch.float64) if bias else None, silu

    words = ["x".join(map(str, shape)), f"W={width}", "" if bias else "no bias", "silu" if silu else "", layout]
    return Case(" ".join(filter(None, words)), make)


CHECK = (
    _case((2, 6, 37), 4),
    _case((2, 6, 37), 4, layout="tokens"),
    _case((1, 5, 1), 4),
    _case((1, 18, 2), 3, bias=False, layout="tokens"),
    _case((2, 3, 65), 2, silu=False),
    _case((2, 17, 64), 3, layout="sliced"),
    _case((1, 33, 130), 4, bias=False, silu=False, layout="tokens"),
    _case((1, 2, 300), 1),
    _case((0, 4, 9), 4),
)

BENCH = (
    _case((8, 384, 197), 4, layout="tokens"),
    _case((8, 384, 197), 4),
    _case((8, 384, 784), 4),
    _case((2, 384, 3136), 4),
)
