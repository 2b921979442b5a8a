"""The problems that local block attention is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def _maps(generator: Generator, shape: tuple[int, ...], layout: str) -> Tensor:
    """Return (B, G, H, W, D) numbers that lie as the models hand them over (channels-last), or otherwise."""
    batch, groups, height, width, channels = shape
    if layout == "sliced":
        wide = torch.randn((batch, groups, height, width + 3, 2 * channels), generator=generator, dtype=torch.float64)
        return wide[:, :, :, 2:-1, ::2]
    if layout == "channels-first":
        return torch.randn((batch, groups, channels, height, width), generator=generator, dtype=torch.float64).movedim(
            2, -1
        )
    last = torch.randn((batch, height, width, groups, channels), generator=generator, dtype=torch.float64)
    return last.permute(0, 3, 1, 2, 4)


def _case(
    batch: int, groups: int, blocks: tuple[int, int], b: int, h: int, d: int, e: int, stride: int = 1,
    layout: str = "", tables: bool = True,
) -> Case:  # fmt: skip
    height, width = blocks[0] * b, blocks[1] * b

    def make(generator: Generator) -> tuple[Any, ...]:
        query = _maps(generator, (batch, groups, height // stride, width // stride, d), layout)
        key = _maps(generator, (batch, groups, height, width, d), layout)
        value = _maps(generator, (batch, groups, height, width, e), layout)
        both = [torch.randn((2 * (b + 2 * h) - 1, d), generator=generator, dtype=torch.float64) * d**-0.5] * 2
        rows, columns = (both[0], both[1].flip(0)) if tables else (None, None)
        return query, key, value, rows, columns, b, h, d**-0.5

    words = [f"{batch}x{groups}x{height}x{width} D={d} E={e} block={b} halo={h}"]
    words += [f"stride={stride}"] * (stride > 1) + [layout] * bool(layout) + ["no tables"] * (not tables)
    return Case(" ".join(words), make)


CHECK = (
    _case(2, 2, (2, 2), 4, 1, 8, 8),
    _case(1, 2, (2, 3), 4, 1, 5, 7, layout="sliced"),
    _case(1, 1, (1, 2), 6, 2, 16, 24, stride=2),
    _case(2, 1, (2, 1), 3, 4, 3, 2, layout="channels-first"),
    _case(1, 2, (3, 2), 2, 0, 4, 4, stride=2, tables=False),
    _case(1, 1, (1, 1), 5, 2, 1, 17, layout="sliced"),
    _case(1, 1, (1, 2), 8, 3, 16, 16),
)

BENCH = (
    _case(8, 4, (8, 8), 8, 3, 16, 16),
    _case(8, 8, (2, 2), 8, 3, 32, 32),
    _case(8, 8, (2, 2), 8, 2, 64, 64, stride=2),
    _case(2, 8, (4, 4), 14, 2, 16, 40),
)
