"""Attentive pooling on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(query: Tensor, key: Tensor, value: Tensor, scale: float) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, value)


def forward(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the pooled values and the logarithm of each softmax's sum, (B, Q)."""
    shared = [native.share(t) for t in (query, key, value)]
    logs = shared[0].new_empty(key.shape[0], query.shape[1])
    out = shared[0].new_empty(*logs.shape, value.shape[3])
    native.module().attentive_pool_forward(*shared, out, logs, scale, native.threads())
    return out.to(value.dtype), logs


def backward(
    grad: Tensor, saved: list[Tensor], query: Tensor, key: Tensor, value: Tensor, scale: float, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of query, key and value, None where ``needs`` is False and the work is left out."""
    tensors = (query, key, value)
    shared = [native.share(t) for t in (grad, *tensors)]
    grads = [torch.empty_like(t) if need else None for t, need in zip(shared[1:], needs, strict=True)]
    native.module().attentive_pool_backward(*shared, saved[-1], *grads, scale, native.threads())
    return [None if g is None else g.to(t.dtype) for g, t in zip(grads, tensors, strict=True)]
