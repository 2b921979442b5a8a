"""The problems that neighbourhood attention is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case

Pair = tuple[int, int]


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _heads(generator: Generator, shape: tuple[int, ...], value_dim: int, layout: str) -> tuple[Tensor, ...]:
    """Return queries, keys and values (B, G, H, W, D); ``layout`` says how they lie."""
    batch, groups, height, width, dim = shape
    if layout == "qkv":  # as a linear layer hands them over
        packed = _normal(generator, batch, height, width, 3, groups, dim)
        return packed.permute(3, 0, 4, 1, 2, 5).unbind(0)
    if layout == "channels-first":
        packed = _normal(generator, 3, batch, groups, dim, height, width)
        return packed.permute(0, 1, 2, 4, 5, 3).unbind(0)
    if layout == "sliced":
        wide = (batch, groups, height, width + 3)
        return tuple(_normal(generator, *wide, 2 * d)[:, :, :, 2:-1, ::2] for d in (dim, dim, value_dim))
    return tuple(_normal(generator, batch, groups, height, width, d) for d in (dim, dim, value_dim))


def _case(
    shape: tuple[int, ...],
    kernel: Pair,
    dilation: Pair = (1, 1),
    layout: str = "qkv",
    biased: bool = True,
    value_dim: int | None = None,
) -> Case:
    """Return a case of queries of this (B, G, H, W, D) shape."""

    def make(generator: Generator) -> tuple[Any, ...]:
        heads = _heads(generator, shape, value_dim or shape[-1], layout)
        bias = _normal(generator, shape[1], 2 * kernel[0] - 1, 2 * kernel[1] - 1) if biased else None
        return *heads, bias, list(kernel), list(dilation), shape[-1] ** -0.5

    dilated = f" dilation={dilation[0]}x{dilation[1]}" if dilation != (1, 1) else ""
    values = f" Dv={value_dim}" if value_dim else ""
    name = f"{'x'.join(map(str, shape))} k={kernel[0]}x{kernel[1]}{dilated}{values} {layout}"
    return Case(name if biased else f"{name} unbiased", make)


CHECK = (
    _case((2, 2, 7, 9, 8), (3, 3)),
    _case((1, 1, 7, 8, 32), (7, 7)),
    _case((1, 1, 15, 17, 5), (5, 5), (3, 3), layout="contiguous"),
    _case((2, 1, 11, 10, 4), (3, 3), (3, 2), layout="sliced", value_dim=7),
    _case((1, 2, 9, 8, 16), (3, 5), layout="channels-first", biased=False),
    _case((2, 3, 1, 19, 6), (1, 5), (1, 2), layout="contiguous"),
    _case((1, 1, 10, 5, 33), (9, 3), layout="contiguous", value_dim=9),
    _case((1, 1, 6, 11, 1), (1, 1), layout="contiguous", biased=False),
    _case((1, 1, 8, 13, 8), (7, 11)),
    _case((1, 1, 4, 19, 3), (3, 17), layout="contiguous"),
)

BENCH = (
    _case((8, 2, 56, 56, 32), (7, 7)),
    _case((8, 2, 56, 56, 32), (7, 7), (8, 8)),
    _case((8, 4, 28, 28, 32), (7, 7)),
    _case((8, 8, 14, 14, 32), (7, 7), (2, 2)),
    _case((8, 16, 7, 7, 32), (7, 7)),
    _case((2, 6, 96, 96, 32), (11, 11)),
)
