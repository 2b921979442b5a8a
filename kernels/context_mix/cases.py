"""The problems that context mixing is checked and timed on."""

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
    """The sizes of a problem; ``layout`` says how query and value lie in memory."""

    batch: int
    groups: int
    height: int
    width: int
    depth: int
    channels: int
    regions: int
    kernels: tuple[int, ...]
    layout: str = "channels-last"

    def _map(self, generator: Generator, *inner: int) -> Tensor:
        """Return a (B, *inner[:-1], H, W, inner[-1]) tensor that lies in memory as ``layout`` says."""
        b, h, w = self.batch, self.height, self.width
        leading = range(1, len(inner))
        if self.layout == "channels-last":
            made = _normal(generator, b, h, w, *inner)
            return made.permute(0, *(i + 2 for i in leading), 1, 2, made.dim() - 1)
        if self.layout == "channels-first":
            made = _normal(generator, b, *inner, h, w)
            return made.permute(0, *leading, made.dim() - 2, made.dim() - 1, len(inner))
        made = _normal(generator, b, *inner[:-1], h + 1, w + 2, 2 * inner[-1])
        return made[..., 1:, 1:-1, ::2]

    def make(self, generator: Generator) -> tuple[Any, ...]:
        window = sum(k * k for k in self.kernels)
        return (
            self._map(generator, self.groups, self.depth) * self.depth**-0.5,
            _normal(generator, self.batch, self.groups, self.depth, self.regions).transpose(-1, -2),
            _normal(generator, window, self.regions) * self.regions**-0.5,
            _normal(generator, window) * 0.1,
            _normal(generator, self.groups, sum((2 * k - 1) ** 2 for k in self.kernels)),
            self._map(generator, len(self.kernels), self.groups, self.channels),
            list(self.kernels),
        )

    def case(self) -> Case:
        name = (
            f"{self.batch}x{self.groups}x{self.height}x{self.width} d={self.depth} D={self.channels} R={self.regions}"
        )
        return Case(f"{name} kernels={','.join(map(str, self.kernels))} {self.layout}", self.make)


CHECK = tuple(
    problem.case()
    for problem in (
        _Problem(2, 2, 7, 9, 4, 5, 9, (3, 7)),
        _Problem(1, 3, 7, 7, 16, 16, 49, (5, 7)),
        _Problem(1, 2, 9, 11, 14, 14, 49, (5,), "channels-first"),
        _Problem(1, 1, 13, 14, 16, 16, 49, (5, 13)),
        _Problem(2, 1, 5, 8, 3, 1, 1, (1, 3, 5), "sliced"),
        _Problem(1, 1, 6, 6, 10, 40, 4, (3, 5), "channels-first"),
        _Problem(1, 1, 17, 13, 8, 8, 5, (5,)),
    )
)

BENCH = tuple(
    problem.case()
    for problem in (
        _Problem(8, 8, 14, 14, 16, 16, 49, (5, 13)),
        _Problem(8, 16, 7, 7, 16, 16, 49, (5, 7)),
        _Problem(8, 8, 56, 56, 16, 16, 49, (5, 13)),
    )
)
