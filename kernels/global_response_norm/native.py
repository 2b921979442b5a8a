"""Global response normalisation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.global_response_norm.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the normalised x, in x's memory format."""
    x, gamma, beta = native.shared(args)
    out = torch.empty_like(x)
    native.module().global_response_norm_forward(
        x, gamma.contiguous(), beta.contiguous(), out, args.eps, native.threads()
    )
    return out.to(args.x.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, gamma and beta, None where ``needs`` is False."""
    x, gamma = native.share(args.x), native.share(args.gamma)
    grads = [torch.empty_like(x), *x.new_empty((2, x.shape[1]))]
    native.module().global_response_norm_backward(
        native.share(grad), x, gamma.contiguous(), *grads, args.eps, native.threads()
    )
    return [g.to(grad.dtype) if need else None for g, need in zip(grads, needs, strict=True)]
