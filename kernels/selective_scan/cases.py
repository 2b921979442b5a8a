"""The problems that the selective scan is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def _case(
    shape: tuple[int, int, int], states: int, groups: int = 1, parts: str = "DzbS", layout: str = "", decay: float = 1.0
) -> Case:
    """Return a case.

    Args:
        shape: (B, D, L).
        states: N.
        groups: G.
        parts: what takes part: D, z, b for delta_bias, S for softplus, i for an initial state.
        layout: ``sliced`` for strided tensors, ``tokens`` for channels side by side in memory, else contiguous.
        decay: the size of delta.
    """
    batch, channels, length = shape

    def make(generator: Generator) -> tuple[Any, ...]:
        def normal(*size: int) -> Tensor:
            if layout == "tokens" and len(size) >= 3:
                return torch.randn(*size[:-2], *size[:-3:-1], generator=generator, dtype=torch.float64).mT
            if layout == "sliced":
                return torch.randn(*size[:-1], 2 * size[-1], generator=generator, dtype=torch.float64)[..., ::2]
            return torch.randn(size, generator=generator, dtype=torch.float64)

        return (
            normal(*shape),
            normal(*shape) * decay if "S" in parts else normal(*shape).abs() * decay,
            -(0.5 * normal(channels, states)).exp(),
            normal(batch, groups, states, length),
            normal(batch, groups, states, length),
            normal(channels) if "D" in parts else None,
            normal(*shape) if "z" in parts else None,
            _bias(normal(channels), "S" in parts) if "b" in parts else None,
            normal(batch, channels, states) if "i" in parts else None,
            "S" in parts,
        )

    words = ["x".join(map(str, shape)), f"N={states}", f"G={groups}" if groups > 1 else "", parts, layout]
    return Case(" ".join([*filter(None, words), *([f"decay={decay:g}"] if decay != 1 else [])]), make)


def _bias(numbers: Tensor, softplus: bool) -> Tensor:
    """Return biases of delta: negative before softplus, else such that delta stays positive and the state decays."""
    return 0.5 * numbers - 2 if softplus else numbers.abs()


CHECK = (
    _case((2, 6, 37), 16),
    _case((2, 12, 65), 1, groups=4, parts="DbS"),
    _case((1, 5, 1), 3, parts="DzbSi"),
    _case((1, 18, 2), 2, layout="tokens"),
    _case((2, 17, 63), 5, parts="", layout="sliced"),
    _case((1, 20, 64), 7, parts="Si", layout="tokens"),
    _case((1, 36, 129), 2, groups=2, parts="zbi"),
    _case((1, 4, 97), 8, decay=300.0),
    _case((1, 3, 65), 4, parts="D", decay=1e-2),
    _case((1, 2, 257), 64, parts="DS"),
    _case((1, 33, 70), 17, layout="sliced"),
    _case((0, 4, 9), 2),
)

BENCH = (
    _case((8, 384, 197), 16, layout="tokens"),
    _case((8, 384, 197), 16),
    _case((8, 384, 784), 16),
    _case((2, 384, 3136), 16),
    _case((8, 384, 197), 1, groups=4, parts="DbS"),
    _case((8, 768, 784), 1, groups=4, parts="DbS"),
    _case((4, 384, 3136), 1, groups=4, parts="DbS"),
)
