"""Focal modulation's context on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.focal_modulation.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the gated sum, in context's memory format."""
    out = torch.empty_like(args.context, dtype=native.compute_dtype(args.context.dtype))
    context, gates, taps = native.shared(args)
    native.module().focal_modulation_forward(
        context, gates, taps.contiguous(), list(args.kernel_sizes), out, native.threads()
    )
    return out.to(args.context.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of context, gates and taps, None where ``needs`` is False; the levels are computed again."""
    context, gates, taps = native.shared(args)
    found = [torch.empty_like(tensor) for tensor in (context, gates)]
    grad_taps = torch.empty(taps.shape, dtype=taps.dtype)
    native.module().focal_modulation_backward(
        native.share(grad),
        context,
        gates,
        taps.contiguous(),
        list(args.kernel_sizes),
        *found,
        grad_taps,
        native.threads(),
    )
    found.append(torch.empty_like(taps).copy_(grad_taps))
    return [gradient.to(grad.dtype) if need else None for gradient, need in zip(found, needs, strict=True)]
