"""The problems that query attention is checked and timed on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(lengths: Sequence[int], queries: int, heads: int, depth: int, width: int, layout: str = "own") -> Case:
    """Return a case of images of these lengths; ``width`` is that of the values.

    ``layout``: ``own`` queries for each image, ``shared`` by all, ``joint`` keys and values side by side, as one
    projection leaves them, or ``sliced`` tensors with strides.
    """

    def make(generator: Generator) -> tuple[Any, ...]:
        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        tokens = sum(lengths)
        query = normal(1 if layout == "shared" else len(lengths), queries, heads, depth)
        key, value = normal(tokens, heads, depth), normal(tokens, heads, width)
        if layout == "joint":
            parts = normal(tokens, heads * (depth + width)).split([heads * depth, heads * width], dim=1)
            key, value = (part.unflatten(1, (heads, -1)) for part in parts)
        if layout == "sliced":
            query, key, value = (torch.stack((x, -x), dim=-1)[..., 0] for x in (query, key, value))
        return query, key, value, torch.tensor([0, *accumulate(lengths)]), depth**-0.5

    return Case(f"{'+'.join(map(str, lengths))} Q={queries} H={heads} d={depth} e={width} {layout}", make)


CHECK = (
    _case((17, 17), 5, 3, 8, 8),
    _case((9, 1, 24), 19, 3, 32, 32, layout="joint"),
    _case((33, 7), 4, 2, 5, 9, layout="sliced"),
    _case((5, 0, 12), 16, 1, 16, 24, layout="shared"),
    _case((64,), 7, 4, 33, 17),
    _case((1,), 1, 1, 1, 1),
    _case((0, 0), 3, 2, 4, 4),
    _case((70, 45, 2), 33, 6, 16, 16, layout="joint"),
)

BENCH = (
    _case((1024,) * 8, 150, 6, 64, 64, layout="joint"),
    _case((1024, 256, 640, 900, 300, 512, 768, 400), 150, 6, 64, 64, layout="joint"),
    _case((900,) * 4, 59, 16, 32, 32, layout="joint"),
    _case((64,) * 8, 19, 3, 32, 32, layout="joint"),
)
