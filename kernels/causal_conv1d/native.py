"""The causal depthwise convolution on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.causal_conv1d.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    out = torch.empty_like(args.x, dtype=native.compute_dtype(args.x.dtype))
    native.module().causal_conv1d_forward(*native.shared(args), out, args.silu, native.threads())
    return out.to(args.x.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False; all come out of one pass."""
    shared = native.share(grad)
    grad_x = torch.empty_like(args.x, dtype=shared.dtype)
    grad_weight = shared.new_empty(len(grad), *args.weight.shape)
    grad_bias = shared.new_empty(len(grad), len(args.weight))
    native.module().causal_conv1d_backward(
        shared, *native.shared(args), grad_x, grad_weight, grad_bias, args.silu, native.threads()
    )
    found = (grad_x, grad_weight.sum(0), grad_bias.sum(0))
    return native.gradients(found, args, needs)
