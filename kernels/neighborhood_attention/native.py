"""Neighbourhood attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, value, bias)


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
) -> Tensor:
    """Return the attended values, laid out like ``value``."""
    out = torch.empty_like(value, dtype=native.compute_dtype(value.dtype))
    native.module().neighborhood_attention_forward(
        native.share(query),
        native.share(key),
        native.share(value),
        None if bias is None else native.share(bias),
        out,
        tuple(kernel_size),
        tuple(dilation),
        scale,
        native.threads(),
    )
    return out.to(value.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    scale: float,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the four gradients, None where ``needs`` is False; all come out of one pass."""
    tensors = (query, key, value, bias)
    args = [None if t is None else native.share(t) for t in tensors]
    grads = [None if t is None else torch.empty_like(t) for t in args]
    native.module().neighborhood_attention_backward(
        native.share(grad), *args, *grads, tuple(kernel_size), tuple(dilation), scale, native.threads()
    )
    return [
        g.to(t.dtype) if need and g is not None and t is not None else None
        for g, t, need in zip(grads, tensors, needs, strict=True)
    ]
