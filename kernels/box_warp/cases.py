"""The problems that the box warp is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case, feature_map


def _case(shape: tuple[int, ...], size: tuple[int, int], boxes: str = "", layout: str = "contiguous") -> Case:
    """Return a case; ``boxes``: ``beyond`` for some that leave the picture, ``flat`` for some without extent."""

    def make(generator: Generator) -> tuple[Any, ...]:
        drawn = torch.rand((4, *shape[:2]), generator=generator, dtype=torch.float64)
        sides = torch.tensor([size[1], size[0]], dtype=torch.float64)[:, None, None]
        centre, extent = drawn[:2] * sides, (0.2 + drawn[2:]) * sides
        if boxes == "beyond":
            centre = 2 * centre - sides / 2
        if boxes == "flat":
            extent[:, :, ::2] *= torch.tensor([0.0, -1.0], dtype=torch.float64)[:, None, None]
        box = torch.cat([centre, extent]).permute(1, 2, 0)
        visible = torch.rand(shape[:2], generator=generator, dtype=torch.float64)
        return feature_map(generator, shape, layout), box, visible, *size

    name = f"{'x'.join(map(str, shape))} into {size[0]}x{size[1]} {layout} {boxes}".rstrip()
    return Case(name, make)


CHECK = (
    _case((2, 3, 5, 4), (17, 14)),
    _case((1, 4, 9, 7), (12, 21), "beyond"),
    _case((2, 5, 3, 6), (10, 9), "flat"),
    _case((2, 3, 6, 5), (13, 16), layout="sliced"),
    _case((1, 2, 1, 1), (7, 5)),
    _case((1, 1, 40, 33), (20, 24)),
)

BENCH = (
    _case((2, 17, 32, 32), (160, 96)),
    _case((8, 17, 32, 32), (160, 96)),
    _case((8, 17, 48, 32), (384, 256)),
)
