"""The problems that the exit by class is checked and timed on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from claimbench.kernels.cases import Case


def _case(batch: int, classes: int, count: int, threshold: float, keep: int, layout: str = "") -> Case:
    """Return a case; ``layout``: ``ties`` for few scores, ``sliced``, ``tokens-first``, ``fresh`` if none has left."""

    def make(generator: Generator) -> tuple[Any, ...]:
        # Steps of 1/64 have the same order in every dtype, and equal scores among them.
        steps = 8 if layout == "ties" else 64
        scores = torch.randint(0, steps + 1, (batch, classes, count), generator=generator).double() / steps
        if layout == "sliced":
            scores = torch.stack((scores, 1 - scores), dim=-1)[..., 0]
        if layout == "tokens-first":
            scores = scores.transpose(1, 2).contiguous().transpose(1, 2)
        gone = torch.rand(batch, count, generator=generator) > (2.0 if layout == "fresh" else 0.7)
        return scores, gone, threshold, keep

    return Case(f"{batch}x{classes}x{count} above {threshold} keep={keep} {layout}".rstrip(), make)


CHECK = (
    _case(3, 7, 60, 0.75, 5),
    _case(2, 1, 33, 0.5, 1, layout="ties"),
    _case(1, 19, 64, 0.5, 0, layout="sliced"),
    _case(2, 5, 130, 0.25, 3, layout="tokens-first"),
    _case(2, 4, 17, 1.0, 5),
    _case(3, 3, 1, 0.0, 2, layout="fresh"),
    _case(1, 2, 9, 0.5, 100, layout="ties"),
)

BENCH = (
    _case(8, 150, 1024, 0.9, 5, layout="fresh"),
    _case(8, 150, 1024, 0.9, 5, layout="tokens-first"),
    _case(8, 59, 900, 0.9, 5),
)
