"""The problems that wave aggregation is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], inner: int, layout: str, ties: bool = False) -> Case:
    """Return a case; with ``ties`` several channels of x are equally strong, and ``joint`` cuts both from one map."""

    def make(generator: Generator) -> tuple[Any, ...]:
        batch, _, *sides = shape
        lie = "channels-last" if layout == "joint" else layout
        x = feature_map(generator, shape, lie)
        both = feature_map(generator, (batch, 2 * inner, *sides), lie)
        theta, weight = both[:, :inner], both[:, inner:]
        if layout != "joint":
            theta, weight = theta.clone(), weight.clone()
        if layout == "sliced":
            theta, weight = both[:, ::2], both[:, 1::2]
        wave = torch.randn((inner // 2, 2), generator=generator, dtype=torch.float64)
        return x.sign() if ties else x, theta, weight, wave

    words = ["x".join(map(str, shape)), f"N={inner}", layout, *(["ties"] if ties else [])]
    return Case(" ".join(words), make)


CHECK = (
    _case((2, 8, 5, 7), 32, "channels-last"),
    _case((2, 8, 5, 7), 16, "joint", ties=True),
    _case((1, 5, 3, 4), 22, "channels-last"),
    _case((2, 6, 4, 5), 12, "contiguous", ties=True),
    _case((1, 4, 3, 3), 8, "sliced"),
    _case((1, 1, 1, 1), 2, "channels-last"),
)

BENCH = tuple(
    _case((8, channels, side, side), inner, "joint")
    for channels, inner, side in ((32, 128, 64), (64, 256, 32), (128, 256, 16), (256, 512, 8))
)
