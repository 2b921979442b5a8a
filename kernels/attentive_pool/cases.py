"""The problems that attentive pooling is checked and timed on."""

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

    ``layout`` says how keys and values lie in memory: ``apart`` (two tensors), ``joint`` (side by side, as one
    projection leaves them), ``same`` (one tensor is both), ``channels-first`` (tokens innermost, as a convolution
    leaves them) or ``sliced`` (every second channel of wider tokens). ``own`` gives every image its own queries.
    """

    batch: int
    tokens: int
    queries: int
    key_groups: int
    value_groups: int
    depth: int
    channels: int
    own: bool = False
    layout: str = "apart"

    def _tokens(self, generator: Generator) -> tuple[Tensor, Tensor]:
        b, n = self.batch, self.tokens
        sizes = ((self.key_groups, self.depth), (self.value_groups, self.channels))
        if self.layout == "same":
            both = _normal(generator, b, n, *sizes[0])
            return both, both
        if self.layout == "joint":
            widths = [groups * width for groups, width in sizes]
            parts = _normal(generator, b, n, sum(widths)).split(widths, dim=-1)
            key, value = (part.unflatten(-1, size) for part, size in zip(parts, sizes, strict=True))
        elif self.layout == "channels-first":
            key, value = (_normal(generator, b, *size, n).permute(0, 3, 1, 2) for size in sizes)
        elif self.layout == "sliced":
            key, value = (_normal(generator, b, n + 1, groups, 2 * width)[:, 1:, :, ::2] for groups, width in sizes)
        else:
            key, value = (_normal(generator, b, n, *size) for size in sizes)
        return key, value

    def make(self, generator: Generator) -> tuple[Any, ...]:
        key, value = self._tokens(generator)
        query = _normal(generator, self.batch if self.own else 1, self.queries, self.depth)
        return query, key, value, self.depth**-0.5

    def case(self) -> Case:
        groups = f"G={self.key_groups} V={self.value_groups}"
        sizes = f"{self.batch}x{self.tokens} Q={self.queries} {groups} d={self.depth} e={self.channels}"
        return Case(f"{sizes} {'own ' if self.own else ''}{self.layout}", self.make)


CHECK = tuple(
    problem.case()
    for problem in (
        _Problem(2, 9, 4, 1, 4, 12, 3),
        _Problem(3, 17, 16, 1, 16, 33, 8),
        _Problem(2, 20, 6, 1, 1, 24, 24, layout="same"),
        _Problem(2, 13, 3, 3, 3, 8, 8, own=True, layout="joint"),
        _Problem(1, 30, 12, 3, 3, 16, 40, layout="joint"),
        _Problem(2, 7, 8, 1, 1, 10, 5, own=True, layout="sliced"),
        _Problem(1, 49, 1, 1, 1, 70, 64),
        _Problem(2, 11, 16, 2, 4, 9, 17, layout="channels-first"),
        _Problem(2, 6, 12, 4, 2, 5, 16),
        _Problem(1, 1, 2, 1, 2, 3, 1, own=True),
        _Problem(1, 197, 40, 1, 40, 32, 4),
    )
)

BENCH = tuple(
    problem.case()
    for problem in (
        _Problem(8, 196, 32, 1, 32, 768, 24),
        _Problem(8, 196, 32, 1, 1, 768, 768, layout="same"),
        _Problem(8, 196, 16, 16, 16, 48, 48),
        _Problem(8, 197, 4, 4, 4, 192, 192, own=True, layout="joint"),
        _Problem(8, 196, 8, 1, 1, 64, 64, layout="joint"),
        _Problem(64, 49, 12, 1, 1, 320, 320, layout="same"),
    )
)
