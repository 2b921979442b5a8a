"""Neighbourhood aggregation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.neighborhood_aggregate.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the weighted sums, laid out like ``value``."""
    out = torch.empty_like(args.value, dtype=native.compute_dtype(args.value.dtype))
    native.module().neighborhood_aggregate_forward(
        *native.shared(args), out, args.kernel_size, args.dilation, native.threads()
    )
    return out.to(args.value.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of weights and value, None where ``needs`` is False."""
    weights, value, kernel_size, dilation = args
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
