"""The problems that the permutohedral filter is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from claimbench.kernels.cases import Case


def picture_features(height: int, width: int, generator: Generator, spread: float = 3.0) -> Tensor:
    """Return bilateral features (5, height * width) of a made-up picture: position and three smooth colours."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    position = torch.stack([columns, rows]).double().flatten(1)
    waves = torch.rand(3, 2, generator=generator, dtype=torch.float64) / 8
    noise = torch.randn(3, height * width, generator=generator, dtype=torch.float64)
    return torch.cat([position / 30, (60 * (waves @ position).sin() + 2 * noise) / spread])


def _case(batch: int, channels: int, dims: int, points: int, layout: str = "", bridge: bool = True) -> Case:
    """Return a case; ``layout``: ``sliced`` for strided tensors, ``grid`` for integer coordinates, ``picture``."""

    def make(generator: Generator) -> tuple[Any, ...]:
        values = torch.randn(batch, channels, points, generator=generator, dtype=torch.float64)
        features = 1.5 * torch.randn(batch, dims, points, generator=generator, dtype=torch.float64)
        if layout == "sliced":
            values = torch.stack((values, -values), dim=-1).transpose(1, 2)[..., 0].transpose(1, 2)
            features = torch.cat((features, features), dim=2)[:, :, :points]
        if layout == "grid":
            features = features.round()
        if layout == "picture":
            side = round(points**0.5)
            features = torch.stack([picture_features(side, points // side, generator) for _ in range(batch)])
        return values, features, bridge

    words = f"{layout}{'' if bridge else ' unbridged'}"
    return Case(f"{batch}x{channels}x{points} F={dims} {words}".rstrip(), make)


CHECK = (
    _case(2, 3, 2, 50),
    _case(1, 5, 3, 40, "sliced"),
    _case(2, 21, 5, 64, "picture"),
    _case(1, 1, 5, 30, "picture", bridge=False),
    _case(1, 2, 4, 60, "grid"),
    _case(1, 40, 6, 20),
    _case(1, 4, 1, 9),
    _case(2, 3, 5, 1),
)

BENCH = (
    _case(1, 21, 5, 240 * 240, "picture"),
    _case(1, 21, 5, 240 * 240, "picture", bridge=False),
    _case(1, 21, 2, 240 * 240),
)
