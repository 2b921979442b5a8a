"""The problems that the selective scan over a map is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case, feature_map
from claimbench.kernels.cross_scan.reference import SCANS


def _case(
    shape: tuple[int, int, int, int],
    states: int,
    scans: str = "cross2d",
    parts: str = "DbS",
    layout: str = "contiguous",
    decay: float = 1.0,
) -> Case:
    """Return a case; ``shape`` is (B, D, H, W), and ``parts`` are as of the selective scan.

    Args:
        shape: (B, D, H, W).
        states: N.
        scans: ``cross2d``, ``unidi`` or ``bidi``.
        parts: what takes part: D, b for delta_bias, S for softplus.
        layout: of u and, for ``channels-last`` and ``sliced``, of the other maps.
        decay: the size of delta.
    """
    batch, channels, height, width = shape

    def make(generator: Generator) -> tuple[Any, ...]:
        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator, dtype=torch.float64)

        def maps(count: int) -> Tensor:
            return feature_map(generator, (batch, 4 * count, height, width), layout).unflatten(1, (4, count))

        u, delta = feature_map(generator, shape, layout), maps(channels) * decay
        return (
            u,
            delta if "S" in parts else delta.abs(),
            -(0.5 * normal(4 * channels, states)).exp(),
            maps(states),
            maps(states),
            normal(4 * channels) if "D" in parts else None,
            0.5 * normal(4 * channels) - 2 if "b" in parts else None,
            "S" in parts,
            SCANS.index(scans),
        )

    words = ["x".join(map(str, shape)), f"N={states}", scans, parts, layout, f"decay={decay:g}" if decay != 1 else ""]
    return Case(" ".join(filter(None, words)), make)


CHECK = (
    _case((2, 6, 5, 7), 1),
    _case((1, 3, 9, 8), 16),
    _case((2, 17, 3, 5), 5, layout="channels-last"),
    _case((1, 4, 6, 3), 2, "bidi", "", "sliced"),
    _case((2, 2, 11, 13), 3, "unidi", "DS"),
    _case((1, 5, 1, 7), 1, "bidi", layout="channels-last"),
    _case((1, 2, 8, 8), 4, decay=300.0),
    _case((1, 2, 17, 16), 17),
    _case((1, 1, 1, 1), 1),
    _case((0, 2, 3, 4), 2),
)

BENCH = (
    _case((8, 192, 56, 56), 1),
    _case((8, 384, 28, 28), 1),
    _case((8, 768, 14, 14), 1),
    _case((2, 192, 56, 56), 16),
    _case((8, 192, 56, 56), 1, layout="channels-last"),
)
