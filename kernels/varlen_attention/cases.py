"""The problems that variable-length attention is checked and timed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def offsets_of(lengths: tuple[int, ...]) -> Tensor:
    """Return the cumulative lengths (B + 1,)."""
    return torch.tensor((0, *lengths)).cumsum(0)


@dataclass(frozen=True)
class _Problem:
    """The sizes of a problem.

    ``pairs`` of channels are turned; ``keys`` are the lengths of the keys where they differ from those of the queries.
    ``layout`` says how the tensors lie in memory: ``apart``, ``joint`` (side by side, as one projection leaves them),
    ``heads-first`` (a head's tokens together) or ``sliced`` (every second channel of wider tokens).
    """

    lengths: tuple[int, ...]
    heads: int
    depth: int
    channels: int = 0
    pairs: int = 0
    keys: tuple[int, ...] | None = None
    layout: str = "apart"

    def _tensors(self, generator: Generator) -> list[Tensor]:
        heads, tokens, keys = self.heads, sum(self.lengths), sum(self.keys or self.lengths)
        sizes = ((tokens, self.depth), (keys, self.depth), (keys, self.channels or self.depth))
        if self.layout == "joint":
            widths = [heads * width for _, width in sizes]
            parts = _normal(generator, tokens, sum(widths)).split(widths, dim=-1)
            return [part.unflatten(-1, (heads, -1)) for part in parts]
        if self.layout == "heads-first":
            return [_normal(generator, heads, count, width).transpose(0, 1) for count, width in sizes]
        if self.layout == "sliced":
            return [_normal(generator, count + 1, heads, 2 * width)[1:, :, ::2] for count, width in sizes]
        return [_normal(generator, count, heads, width) for count, width in sizes]

    def make(self, generator: Generator) -> tuple[Any, ...]:
        query, key, value = self._tensors(generator)
        angles = _normal(generator, sum(self.lengths), self.pairs)
        table = (angles.cos(), angles.sin()) if self.pairs else (None, None)
        key_offsets = None if self.keys is None else offsets_of(self.keys)
        return query, key, value, offsets_of(self.lengths), key_offsets, *table, self.depth**-0.5

    def case(self) -> Case:
        lengths = (
            "+".join(map(str, self.lengths))
            if len(self.lengths) < 9
            else f"{len(self.lengths)} of 1-{max(self.lengths)}"
        )
        words = [f"{lengths} H={self.heads} d={self.depth}"]
        words += [f"e={self.channels}"] * bool(self.channels) + [f"turned={self.pairs}"] * bool(self.pairs)
        words += [f"keys={'+'.join(map(str, self.keys))}"] if self.keys else []
        return Case(" ".join([*words, self.layout]), self.make)


CHECK = tuple(
    problem.case()
    for problem in (
        _Problem((6, 1, 13), 3, 16),
        _Problem((5, 0, 9, 1), 2, 24, pairs=12, layout="joint"),
        _Problem((70, 33), 1, 72, pairs=36),
        _Problem((3, 17), 2, 7, channels=19, pairs=2, layout="sliced"),
        _Problem((130,), 2, 40, layout="heads-first"),
        _Problem((1, 2, 3), 4, 1, channels=3),
        _Problem((1, 1, 3), 2, 9, keys=(11, 2, 40)),
        _Problem((2, 257), 1, 33, layout="joint"),
        _Problem((0,), 2, 8, pairs=4),
        _Problem((9, 9, 9), 2, 16, layout="joint"),
        _Problem((2, 2), 3, 40, keys=(150, 150)),
    )
)

BENCH = tuple(
    problem.case()
    for problem in (
        _Problem((64, 128, 192, 256), 16, 72, pairs=36, layout="joint"),
        _Problem((256, 1024, 400, 700), 12, 64, layout="joint"),
        _Problem((256,) * 8, 16, 72, layout="joint"),
        _Problem((1024,) * 4, 12, 64, layout="joint"),
        _Problem(tuple(1 + 7 * i % 64 for i in range(128)), 12, 64, layout="joint"),
        _Problem((1,) * 8, 16, 72, keys=(64, 256, 128, 192, 64, 256, 128, 192)),
    )
)
