"""Outlook attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(scores: Tensor, value: Tensor, kernel_size: int, stride: int, padding: int, scale: float) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(scores, value)


def forward(scores: Tensor, value: Tensor, kernel_size: int, stride: int, padding: int, scale: float) -> Tensor:
    """Return the mixed values, laid out like ``value``."""
    out = torch.empty_like(value, dtype=native.compute_dtype(value.dtype))
    native.module().outlook_attention_forward(
        native.share(scores), native.share(value), out, kernel_size, stride, padding, scale, native.threads()
    )
    return out.to(value.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    scores: Tensor,
    value: Tensor,
    kernel_size: int,
    stride: int,
    padding: int,
    scale: float,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of scores and value, None where ``needs`` is False; both come out of one pass."""
    shared = [native.share(t) for t in (grad, scores, value)]
    grads = [torch.empty_like(t) for t in shared[1:]]
    native.module().outlook_attention_backward(*shared, *grads, kernel_size, stride, padding, scale, native.threads())
    return [g.to(t.dtype) if need else None for g, t, need in zip(grads, (scores, value), needs, strict=True)]
