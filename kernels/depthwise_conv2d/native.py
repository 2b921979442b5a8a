"""The depthwise convolution on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels import native
from kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(x, weight, bias)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    wide = native.share(x)
    out = torch.empty_like(wide)
    native.module().depthwise_conv2d_forward(
        wide, native.share(weight), None if bias is None else native.share(bias).contiguous(), out, dilation, native.threads()
    )
    return out.to(x.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    grads: list[Tensor | None] = [None, None, None]
    wide = native.share(grad)
    if needs[0]:
        grad_x = torch.empty_like(x, dtype=wide.dtype)
        native.module().depthwise_conv2d_grad_input(wide, native.share(weight), grad_x, dilation, native.threads())
        grads[0] = grad_x.to(x.dtype)
    if needs[1] or needs[2]:
        grad_weight = torch.empty(weight.shape, dtype=wide.dtype)
        grad_bias = torch.empty(x.shape[1], dtype=wide.dtype)
        native.module().depthwise_conv2d_grad_weight(
            wide, native.share(x), grad_weight, grad_bias, dilation, native.threads()
        )
        if needs[1]:
            grads[1] = torch.empty_like(weight).copy_(grad_weight)
        if needs[2]:
            grads[2] = grad_bias.to(x.dtype)
    return grads
