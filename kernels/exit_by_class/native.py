"""The exit by class on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.exit_by_class.reference import MOST, Arguments, rounded
from claimbench.kernels.native import refuses as _refuses
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return _refuses(args[:1])


def forward(args: Arguments) -> Tensor:
    """Return 1 for tokens that go on and 0 for those that left."""
    scores = native.share(args.scores)
    out = scores.new_empty(args.gone.shape)
    native.module().exit_by_class_forward(
        scores,
        args.gone.view(torch.uint8),
        out,
        rounded(args),
        args.threshold == 1,
        min(args.keep, MOST),
        native.threads(),
    )
    return out.to(args.scores.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return a gradient of zeros for the scores, None where ``needs`` is False."""
    return [torch.zeros_like(args.scores) if needs[0] else None, None]
