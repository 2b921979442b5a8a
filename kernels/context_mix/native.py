"""Context mixing on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.context_mix.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the mixed values, laid out like ``value``."""
    shared = native.shared(args)
    out = torch.empty_like(shared[-1])
    native.module().context_mix_forward(*shared, out, list(args.kernel_sizes), native.threads())
    return out.to(args.value.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the six gradients, None where ``needs`` is False; all come out of one pass."""
    shared = native.shared(args)
    grads = [torch.empty_like(t) for t in shared]
    native.module().context_mix_backward(native.share(grad), *shared, *grads, list(args.kernel_sizes), native.threads())
    return [g.to(grad.dtype) if need else None for g, need in zip(grads, needs, strict=True)]
