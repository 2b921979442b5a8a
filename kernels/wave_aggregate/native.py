"""Wave aggregation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.wave_aggregate.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the turned features, laid out like theta."""
    x, theta, weight, wave = native.shared(args)
    out = torch.empty_like(theta)
    native.module().wave_aggregate_forward(x, theta, weight, wave.contiguous(), out, native.threads())
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x (zeros: it only chooses), theta, weight and wave, None where ``needs`` is False."""
    grads: list[Tensor | None] = [torch.zeros_like(args.x) if needs[0] else None, None, None, None]
    if any(needs[1:]):
        x, theta, weight, wave = native.shared(args)
        found = [torch.empty_like(theta), torch.empty_like(weight)]
        grad_wave = torch.empty(wave.shape, dtype=wave.dtype)
        native.module().wave_aggregate_backward(
            native.share(grad), x, theta, weight, wave.contiguous(), *found, grad_wave, native.threads()
        )
        found.append(torch.empty_like(wave).copy_(grad_wave))
        for i, gradient in enumerate(found, start=1):
            grads[i] = gradient.to(args.theta.dtype) if needs[i] else None
    return grads
