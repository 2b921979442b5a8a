"""Attentive pooling on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.attentive_pool.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the pooled values and the logarithm of each softmax's sum, (B, Q)."""
    shared = native.shared(args)
    logs = shared[0].new_empty(args.key.shape[0], args.query.shape[1])
    out = shared[0].new_empty(*logs.shape, args.value.shape[3])
    native.module().attentive_pool_forward(*shared, out, logs, args.scale, native.threads())
    return out.to(args.value.dtype), logs


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of query, key and value, None where ``needs`` is False and the work is left out."""
    shared = native.shared(args)
    grads = [torch.empty_like(t) if need else None for t, need in zip(shared, needs, strict=True)]
    native.module().attentive_pool_backward(
        native.share(grad), *shared, saved[-1], *grads, args.scale, native.threads()
    )
    return [None if g is None else g.to(args.value.dtype) for g in grads]
