"""The dynamic depthwise convolution on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(x: Tensor, kernel: Tensor) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(x, kernel)


def forward(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    out = torch.empty_like(x, dtype=native.compute_dtype(x.dtype))
    native.module().dynamic_depthwise_conv2d_forward(native.share(x), native.share(kernel), out, native.threads())
    return out.to(x.dtype)


def backward(
    grad: Tensor, saved: list[Tensor], x: Tensor, kernel: Tensor, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of x and kernel, None where ``needs`` is False."""
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
