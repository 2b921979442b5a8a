"""The depthwise convolution on the CPU, in C++, except where PyTorch's own is faster."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.depthwise_conv2d import reference
from claimbench.kernels.depthwise_conv2d.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def pytorch_is_faster(args: Arguments) -> bool:
    """Return whether PyTorch's own forward pass (oneDNN) is the faster one.

    Measured in float32, the only dtype that oneDNN's depthwise kernels take on every processor: few taps are faster
    there in channels-first memory, and with dilation 2 or 3 in channels-last memory too. Many taps, larger dilations
    and every backward pass are faster here.
    """
    x, (kh, kw) = args.x, args.weight.shape[2:]
    taps, reach = kh * kw, args.dilation * max(kh // 2, kw // 2)
    if x.dtype != torch.float32 or reach > 3:
        return False
    if x.stride(1) == 1:
        return taps <= 9 and args.dilation > 1
    return taps <= 25 or x.shape[3] <= 14


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    out = torch.empty_like(args.x, dtype=native.compute_dtype(args.x.dtype))
    if pytorch_is_faster(args):
        found = reference.depthwise_conv2d(args)
        return found if found.stride() == out.stride() else out.copy_(found)
    x, weight, bias = native.shared(args)
    bias = None if bias is None else bias.contiguous()
    native.module().depthwise_conv2d_forward(x, weight, bias, out, args.dilation, native.threads())
    return out.to(args.x.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    x, weight = args.x, args.weight
    module, rest = native.module(), (args.dilation, native.threads())
    shared = native.share(grad)
    grads: list[Tensor | None] = [None, None, None]
    if needs[0]:
        grad_x = torch.empty_like(x, dtype=shared.dtype)
        module.depthwise_conv2d_grad_input(shared, native.share(weight), grad_x, *rest)
        grads[0] = grad_x.to(x.dtype)
    if needs[1] or needs[2]:
        grad_weight = torch.empty(weight.shape, dtype=shared.dtype)
        grad_bias = torch.empty(weight.shape[0], dtype=shared.dtype)
        module.depthwise_conv2d_grad_weight(shared, native.share(x), grad_weight, grad_bias, *rest)
        if needs[1]:
            grads[1] = torch.empty_like(weight).copy_(grad_weight)
        if needs[2]:
            grads[2] = grad_bias.to(x.dtype)
    return grads
