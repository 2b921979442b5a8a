"""The problems that operators are checked and timed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """One set of arguments, built on demand.

    Attributes:
        name: the geometry in words, for example ``"2x16x7x9 k=5 dilation=2"``.
        make: ``make(generator)`` returns the operator's arguments in order, as float64 CPU tensors and plain values;
            the caller casts and moves them. Tensors may be non-contiguous on purpose.
    """

    name: str
    make: Callable[[torch.Generator], tuple[Any, ...]]

    def arguments(self, dtype: torch.dtype, device: torch.device | str, seed: int = 0) -> tuple[Any, ...]:
        """Return the arguments drawn from ``seed``, cast to ``dtype`` on ``device``, strides preserved.

        Tensors of integers keep their dtype.
        """
        made = self.make(torch.Generator().manual_seed(seed))
        return tuple(_cast(a, dtype, device) if isinstance(a, torch.Tensor) else a for a in made)


def _cast(tensor: torch.Tensor, dtype: torch.dtype, device: torch.device | str) -> torch.Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)


def feature_map(generator: torch.Generator, shape: tuple[int, ...], layout: str) -> torch.Tensor:
    """Return normally distributed float64 numbers of shape (B, C, H, W).

    Args:
        generator: the source of the numbers.
        shape: (B, C, H, W).
        layout: the strides: ``contiguous``, ``channels-last``, or ``sliced`` (every second channel of a wider map).
    """
    batch, channels, height, width = shape
    if layout == "sliced":
        wide = torch.randn((batch, 2 * channels, height, width + 3), generator=generator, dtype=torch.float64)
        return wide[:, ::2, :, 2:-1]
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
    return numbers.to(memory_format=torch.channels_last) if layout == "channels-last" else numbers
