"""Context mixing on the CPU, in C++."""

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
    projection: Tensor,
    projection_bias: Tensor,
    position_bias: Tensor,
    value: Tensor,
    kernel_sizes: Sequence[int],
) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, projection, projection_bias, position_bias, value)


def forward(
    query: Tensor,
    key: Tensor,
    projection: Tensor,
    projection_bias: Tensor,
    position_bias: Tensor,
    value: Tensor,
    kernel_sizes: Sequence[int],
) -> Tensor:
    """Return the mixed values, laid out like ``value``."""
    args = [native.share(t) for t in (query, key, projection, projection_bias, position_bias, value)]
    out = torch.empty_like(args[-1])
    native.module().context_mix_forward(*args, out, list(kernel_sizes), native.threads())
    return out.to(value.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    query: Tensor,
    key: Tensor,
    projection: Tensor,
    projection_bias: Tensor,
    position_bias: Tensor,
    value: Tensor,
    kernel_sizes: Sequence[int],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the six gradients, None where ``needs`` is False; all come out of one pass."""
    tensors = (query, key, projection, projection_bias, position_bias, value)
    args = [native.share(t) for t in tensors]
    grads = [torch.empty_like(t) for t in args]
    native.module().context_mix_backward(native.share(grad), *args, *grads, list(kernel_sizes), native.threads())
    return [g.to(t.dtype) if need else None for g, t, need in zip(grads, tensors, needs, strict=True)]
