"""Neighbourhood aggregation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(weights: Tensor, value: Tensor, kernel_size: int, dilation: int) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(weights, value)


def forward(weights: Tensor, value: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """Return the weighted sums, laid out like ``value``."""
    out = torch.empty_like(value, dtype=native.compute_dtype(value.dtype))
    native.module().neighborhood_aggregate_forward(
        native.share(weights), native.share(value), out, kernel_size, dilation, native.threads()
    )
    return out.to(value.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    weights: Tensor,
    value: Tensor,
    kernel_size: int,
    dilation: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of weights and value, None where ``needs`` is False."""
    module, rest = native.module(), (kernel_size, dilation, native.threads())
    shared, dtype = native.share(grad), native.compute_dtype(value.dtype)
    grads: list[Tensor | None] = [None, None]
    if needs[0]:
        grad_weights = torch.empty_like(weights, dtype=dtype)
        module.neighborhood_aggregate_grad_weights(shared, native.share(value), grad_weights, *rest)
        grads[0] = grad_weights.to(weights.dtype)
    if needs[1]:
        grad_value = torch.empty_like(value, dtype=dtype)
        module.neighborhood_aggregate_grad_value(shared, native.share(weights), grad_value, *rest)
        grads[1] = grad_value.to(value.dtype)
    return grads
