"""The problems that biased attention is checked and timed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class _Problem:
    """The sizes of a problem.

    ``layout`` says how the maps lie in memory: ``joint`` (queries, keys and values side by side, as one projection
    leaves them), ``contiguous`` or ``sliced`` (every second channel of wider maps). ``lines`` is the axis that the
    grids of an image are counted along, ahead of or behind the heads.
    """

    batch: int
    lines: int
    heads: int
    height: int
    width: int
    depth: int
    channels: int
    gated: bool = False
    layout: str = "joint"

    def _maps(self, generator: Generator) -> list[Tensor]:
        b, n, g, h, w = self.batch, self.lines, self.heads, self.height, self.width
        depths = (self.depth, self.depth, self.channels)
        if self.layout == "joint":
            whole = _normal(generator, b, h, w, n, g * sum(depths))
            parts = whole.split([g * depth for depth in depths], dim=-1)
            return [part.unflatten(-1, (g, -1)).permute(0, 3, 4, 1, 2, 5) for part in parts]
        if self.layout == "sliced":
            return [_normal(generator, b, n, g, h + 1, w + 2, 2 * depth)[..., 1:, 1:-1, ::2] for depth in depths]
        return [_normal(generator, b, n, g, h, w, depth) for depth in depths]

    def make(self, generator: Generator) -> tuple[Any, ...]:
        query, key, value = self._maps(generator)
        table = _normal(generator, 2 * self.height - 1, 2 * self.width - 1, self.heads).permute(2, 0, 1)
        gate = _normal(generator, self.heads).sigmoid() if self.gated else None
        return query, key, value, table, gate, self.depth**-0.5

    def case(self) -> Case:
        sizes = f"{self.batch}x{self.lines}x{self.heads}x{self.height}x{self.width} d={self.depth} D={self.channels}"
        return Case(f"{sizes} {'gated ' if self.gated else ''}{self.layout}", self.make)


CHECK = tuple(
    problem.case()
    for problem in (
        _Problem(2, 1, 3, 5, 7, 4, 5),
        _Problem(1, 1, 2, 7, 6, 16, 16, gated=True),
        _Problem(2, 5, 2, 1, 9, 8, 8),
        _Problem(1, 3, 2, 1, 33, 16, 16, layout="contiguous"),
        _Problem(2, 1, 1, 4, 3, 1, 1, gated=True, layout="sliced"),
        _Problem(1, 2, 1, 3, 3, 20, 33, layout="sliced"),
        _Problem(1, 1, 1, 1, 1, 6, 3, layout="contiguous"),
        _Problem(1, 1, 2, 11, 9, 32, 32, gated=True, layout="contiguous"),
        _Problem(1, 1, 1, 17, 5, 10, 40),
    )
)

BENCH = tuple(
    problem.case()
    for problem in (
        _Problem(8, 1, 4, 14, 14, 48, 48, gated=True),
        _Problem(8, 56, 4, 1, 56, 16, 16),
        _Problem(8, 14, 8, 1, 14, 32, 32),
        _Problem(8, 1, 8, 14, 14, 32, 32),
        _Problem(8, 1, 16, 7, 7, 32, 32),
        _Problem(512, 1, 3, 7, 7, 32, 32),
    )
)
