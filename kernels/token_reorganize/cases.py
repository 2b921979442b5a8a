"""The problems that token reorganisation is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(batch: int, count: int, channels: int, keep: int, fuse: bool = True, layout: str = "") -> Case:
    """Return a case; ``layout``: ``ties`` for many equal scores, ``sliced`` for strided tensors, else contiguous."""

    def make(generator: Generator) -> tuple[Any, ...]:
        tokens = torch.randn(batch, count, channels, generator=generator, dtype=torch.float64)
        scores = torch.randn(batch, count - 1, generator=generator, dtype=torch.float64).softmax(-1)
        if layout == "ties":
            scores = torch.randint(1, 4, scores.shape, generator=generator).double() / count
        if layout == "sliced":
            tokens = torch.stack((tokens, -tokens), dim=-1).transpose(1, 2)[..., 0].transpose(1, 2)
            scores = torch.cat((scores, scores), dim=1)[:, : count - 1]
        return tokens, scores, keep, fuse

    return Case(f"{batch}x{count}x{channels} keep={keep}{'' if fuse else ' unfused'} {layout}".rstrip(), make)


CHECK = (
    _case(2, 11, 16, 4),
    _case(3, 8, 5, 7),
    _case(1, 40, 33, 13, layout="ties"),
    _case(2, 9, 7, 3, layout="sliced"),
    _case(2, 9, 24, 5, fuse=False, layout="ties"),
    _case(1, 2, 3, 1),
)

BENCH = (
    _case(8, 197, 384, 138),
    _case(8, 197, 384, 138, fuse=False),
    _case(128, 197, 384, 138),
    _case(8, 577, 768, 404),
)
