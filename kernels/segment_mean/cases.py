"""The problems that the segment mean is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(shape: tuple[int, int, int], count: int, layout: str = "", dtype: torch.dtype = torch.int64) -> Case:
    """Return a case; ``layout``: ``tiles`` for long runs of one segment, ``channels-last`` or ``sliced``."""

    def make(generator: Generator) -> tuple[Any, ...]:
        batch, channels, positions = shape
        x = torch.randn((batch, channels, 2 * positions), generator=generator, dtype=torch.float64)
        x = x[..., ::2] if layout == "sliced" else x[..., :positions].contiguous()
        if layout == "channels-last":
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
        segments = torch.randint(0, count, (batch, positions), generator=generator)
        if layout == "tiles":
            segments = segments.sort(dim=1).values
        return x, segments.to(dtype), count

    words = [*([layout] if layout else []), *(["int32"] if dtype == torch.int32 else [])]
    return Case(" ".join(["x".join(map(str, shape)), f"{count} segments", *words]), make)


CHECK = (
    _case((1, 18, 720), 30, "tiles"),
    _case((2, 5, 77), 9),
    _case((3, 7, 40), 50, "channels-last"),
    _case((2, 4, 33), 6, "sliced", torch.int32),
    _case((1, 1, 1), 1),
    _case((1, 35, 300), 1),
)

BENCH = (
    _case((1, 18, 384 * 256), 600, "tiles"),
    _case((8, 18, 160 * 96), 200, "tiles"),
    _case((1, 21, 513 * 513), 1000, "tiles"),
)
