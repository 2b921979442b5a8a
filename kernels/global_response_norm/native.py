"""Global response normalisation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(x, gamma, beta)


def forward(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Return the normalised x, in x's memory format."""
    out = torch.empty_like(x, dtype=native.compute_dtype(x.dtype))
    native.module().global_response_norm_forward(
        native.share(x), native.share(gamma).contiguous(), native.share(beta).contiguous(), out, eps, native.threads()
    )
    return out.to(x.dtype)


def backward(
    grad: Tensor, saved: list[Tensor], x: Tensor, gamma: Tensor, beta: Tensor, eps: float, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of x, gamma and beta, None where ``needs`` is False."""
    shared = native.share(grad)
    grads = [torch.empty_like(x, dtype=shared.dtype), *shared.new_empty((2, x.shape[1]))]
    native.module().global_response_norm_backward(
        shared, native.share(x), native.share(gamma).contiguous(), *grads, eps, native.threads()
    )
    return [g.to(x.dtype) if need else None for g, need in zip(grads, needs, strict=True)]
