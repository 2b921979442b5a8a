"""Biased attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.biased_attention.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the attended values, in the order of value's strides.

    PyTorch's fused attention takes a bias only as a (G, HW, HW) mask in memory.
    """
    out = torch.empty_like(args.value, dtype=native.compute_dtype(args.value.dtype))
    native.module().biased_attention_forward(*native.shared(args), out, args.scale, native.threads())
    return out.to(args.value.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the five gradients, None where ``needs`` is False; all come out of one pass."""
    shared = native.shared(args)
    grads = [None if t is None else torch.empty_like(t) for t in shared]
    native.module().biased_attention_backward(native.share(grad), *shared, *grads, args.scale, native.threads())
    return [g.to(grad.dtype) if g is not None and need else None for g, need in zip(grads, needs, strict=True)]
