"""Outlook attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.outlook_attention.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the mixed values, laid out like ``value``."""
    out = torch.empty_like(args.value, dtype=native.compute_dtype(args.value.dtype))
    native.module().outlook_attention_forward(
        *native.shared(args), out, args.kernel_size, args.stride, args.padding, args.scale, native.threads()
    )
    return out.to(args.value.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of scores and value, None where ``needs`` is False; both come out of one pass."""
    shared = native.shared(args)
    grads = [torch.empty_like(t) for t in shared]
    window = (args.kernel_size, args.stride, args.padding)
    native.module().outlook_attention_backward(
        native.share(grad), *shared, *grads, *window, args.scale, native.threads()
    )
    return [g.to(grad.dtype) if need else None for g, need in zip(grads, needs, strict=True)]
