"""The dynamic depthwise convolution on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.dynamic_depthwise_conv2d.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    out = torch.empty_like(args.x, dtype=native.compute_dtype(args.x.dtype))
    native.module().dynamic_depthwise_conv2d_forward(*native.shared(args), out, native.threads())
    return out.to(args.x.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x and kernel, None where ``needs`` is False."""
    x, kernel = args
    module, threads = native.module(), native.threads()
    shared = native.share(grad)
    grads: list[Tensor | None] = [None, None]
    if needs[0]:
        grad_x = torch.empty_like(x, dtype=shared.dtype)
        module.dynamic_depthwise_conv2d_grad_input(shared, native.share(kernel), grad_x, threads)
        grads[0] = grad_x.to(x.dtype)
    if needs[1]:
        grad_kernel = torch.empty(kernel.shape, dtype=shared.dtype)
        module.dynamic_depthwise_conv2d_grad_kernel(shared, native.share(x), grad_kernel, threads)
        grads[1] = torch.empty_like(kernel).copy_(grad_kernel)
    return grads
