"""The problems that unpacking is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(count: int, channels: int, share: float, layout: str = "") -> Case:
    """Return a case in which a ``share`` of the places is alive; ``sliced`` rows and canvas are strided."""

    def make(generator: Generator) -> tuple[Any, ...]:
        sizes = round(share * count), count
        alive = torch.randperm(count, generator=generator) < sizes[0]
        rows, canvas = (torch.randn(size, channels, generator=generator, dtype=torch.float64) for size in sizes)
        if layout == "sliced":
            rows, canvas = (torch.stack((x, -x), dim=-1)[..., 0] for x in (rows, canvas))
        return rows, alive, canvas

    return Case(f"{count}x{channels} {share:.0%} {layout}".rstrip(), make)


CHECK = (
    _case(60, 24, 0.5),
    _case(33, 5, 0.3, layout="sliced"),
    _case(17, 64, 1.0),
    _case(9, 7, 0.0),
    _case(1, 1, 1.0),
    _case(0, 3, 0.5),
    _case(257, 130, 0.8),
)

BENCH = (_case(8192, 768, 0.5), _case(8192, 1024, 0.9), _case(12800, 150, 0.5))
