"""The segment mean on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable
from claimbench.kernels.segment_mean.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses((args.x,))


def _mean(x: Tensor, args: Arguments) -> Tensor:
    shared = native.share(x)
    out = torch.empty_like(shared, memory_format=torch.contiguous_format)
    native.module().segment_mean(shared, args.segments, out, args.segment_count, native.threads())
    return out.to(x.dtype)


def forward(args: Arguments) -> Tensor:
    """Return the mean of each position's segment."""
    return _mean(args.x, args)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradient of x, None where ``needs`` is False; segments have none."""
    return [torch.empty_like(args.x).copy_(_mean(grad, args)) if needs[0] else None, None]
