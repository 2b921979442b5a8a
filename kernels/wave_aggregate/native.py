"""Wave aggregation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(x: Tensor, theta: Tensor, weight: Tensor, wave: Tensor) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(x, theta, weight, wave)


def forward(x: Tensor, theta: Tensor, weight: Tensor, wave: Tensor) -> Tensor:
    """Return the turned features, laid out like theta."""
    out = torch.empty_like(theta, dtype=native.compute_dtype(theta.dtype))
    shared = (native.share(tensor) for tensor in (x, theta, weight))
    native.module().wave_aggregate_forward(*shared, native.share(wave).contiguous(), out, native.threads())
    return out


def backward(
    grad: Tensor, saved: list[Tensor], x: Tensor, theta: Tensor, weight: Tensor, wave: Tensor, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of x (zeros: it only chooses), theta, weight and wave, None where ``needs`` is False."""
    grads: list[Tensor | None] = [torch.zeros_like(x) if needs[0] else None, None, None, None]
    if any(needs[1:]):
        dtype = native.compute_dtype(theta.dtype)
        found = [torch.empty_like(tensor, dtype=dtype) for tensor in (theta, weight)]
        grad_wave = torch.empty(wave.shape, dtype=dtype)
        shared = (native.share(tensor) for tensor in (grad, x, theta, weight))
        native.module().wave_aggregate_backward(
            *shared, native.share(wave).contiguous(), *found, grad_wave, native.threads()
        )
        found.append(torch.empty_like(wave, dtype=dtype).copy_(grad_wave))
        for i, gradient in enumerate(found, start=1):
            grads[i] = gradient.to(theta.dtype) if needs[i] else None
    return grads
