"""Biased attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(query: Tensor, key: Tensor, value: Tensor, table: Tensor, gate: Tensor | None, scale: float) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, value, table, gate)


def _share(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else native.share(tensor)


def forward(query: Tensor, key: Tensor, value: Tensor, table: Tensor, gate: Tensor | None, scale: float) -> Tensor:
    """Return the attended values, in the order of value's strides.

    PyTorch's fused attention takes a bias only as a (G, HW, HW) mask in memory.
    """
    out = torch.empty_like(value, dtype=native.compute_dtype(value.dtype))
    shared = [_share(t) for t in (query, key, value, table, gate)]
    native.module().biased_attention_forward(*shared, out, scale, native.threads())
    return out.to(value.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table: Tensor,
    gate: Tensor | None,
    scale: float,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the five gradients, None where ``needs`` is False; all come out of one pass."""
    tensors = (query, key, value, table, gate)
    shared = [_share(t) for t in tensors]
    grads = [None if t is None else torch.empty_like(t) for t in shared]
    native.module().biased_attention_backward(native.share(grad), *shared, *grads, scale, native.threads())
    return [
        g.to(t.dtype) if g is not None and t is not None and need else None
        for g, t, need in zip(grads, tensors, needs, strict=True)
    ]
