"""Focal modulation's context on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(context: Tensor, gates: Tensor, taps: Tensor, kernel_sizes: Sequence[int]) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(context, gates, taps)


def forward(context: Tensor, gates: Tensor, taps: Tensor, kernel_sizes: Sequence[int]) -> Tensor:
    """Return the gated sum, in context's memory format."""
    out = torch.empty_like(context, dtype=native.compute_dtype(context.dtype))
    shared = (native.share(tensor) for tensor in (context, gates))
    native.module().focal_modulation_forward(
        *shared, native.share(taps).contiguous(), list(kernel_sizes), out, native.threads()
    )
    return out.to(context.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    context: Tensor,
    gates: Tensor,
    taps: Tensor,
    kernel_sizes: Sequence[int],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of context, gates and taps, None where ``needs`` is False; the levels are computed again."""
    dtype = native.compute_dtype(context.dtype)
    found = [torch.empty_like(tensor, dtype=dtype) for tensor in (context, gates)]
    grad_taps = torch.empty(taps.shape, dtype=dtype)
    shared = (native.share(tensor) for tensor in (grad, context, gates))
    native.module().focal_modulation_backward(
        *shared, native.share(taps).contiguous(), list(kernel_sizes), *found, grad_taps, native.threads()
    )
    found.append(torch.empty_like(taps, dtype=dtype).copy_(grad_taps))
    return [gradient.to(context.dtype) if need else None for gradient, need in zip(found, needs, strict=True)]
