"""The problems that varied-size window attention is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(
    batch: int, groups: int, height: int, width: int, d: int, e: int, w: int, layout: str = "channels-last",
    bias: bool = True, reach: float = 1.0,
) -> Case:  # fmt: skip
    """Return a case; ``reach`` says how far windows move, in positions."""

    def make(generator: Generator) -> tuple[Any, ...]:
        query, key, value = (
            feature_map(generator, (batch, groups * channels, height, width), layout)
            .unflatten(1, (groups, channels))
            .movedim(2, -1)
            for channels in (d, d, e)
        )
        windows = (batch, groups, 2, -(-height // w), -(-width // w))
        shift, size = torch.rand((2, *windows), generator=generator, dtype=torch.float64) * 2 - 1
        # Numbers that half precision holds, and such that no key lies on a kink of the interpolation.
        offset, stretch = (shift * reach * 16).round() / 16 + 1 / 64, 1 + (size * 10).round() / 16
        table = torch.randn((groups, w * w, w * w), generator=generator, dtype=torch.float64) if bias else None
        return query, key, value, offset, stretch, table, w, d**-0.5

    words = f"{batch}x{groups}x{height}x{width} D={d} E={e} window={w} {layout}"
    return Case(words + " no bias" * (not bias), make)


CHECK = (
    _case(2, 2, 6, 6, 8, 8, 3),
    _case(1, 2, 7, 5, 5, 3, 3, layout="sliced", reach=3.0),
    _case(2, 1, 4, 9, 16, 16, 4, layout="contiguous", bias=False),
    _case(1, 1, 5, 4, 1, 17, 7, reach=3.9),
    _case(1, 3, 8, 3, 4, 6, 2, layout="sliced", reach=2.0),
    _case(1, 2, 14, 14, 32, 32, 7),
)

BENCH = (
    _case(8, 2, 56, 56, 32, 32, 7),
    _case(8, 4, 28, 28, 32, 32, 7),
    _case(8, 8, 14, 14, 32, 32, 7),
    _case(8, 16, 7, 7, 32, 32, 7),
)
