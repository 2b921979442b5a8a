"""The dynamic depthwise convolution on a GPU: the kernels of the depthwise convolution, another weight a sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels.depthwise_conv2d.triton import convolve, image_gradients
from claimbench.kernels.dynamic_depthwise_conv2d.reference import Arguments
from claimbench.kernels.triton_support import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    return convolve(args.x, args.kernel, None, torch.empty_like(args.x), 1, turned=False, shared=False)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x and kernel, None where ``needs`` is False."""
    x, kernel = args
    grads: list[Tensor | None] = [None, None]
    if needs[0]:
        grads[0] = convolve(grad, kernel, None, torch.empty_like(x), 1, turned=True, shared=False)
    if needs[1]:
        kh, kw = kernel.shape[2:]
        taps = image_gradients(grad, x, kh, kw, 1).transpose(1, 2)
        grads[1] = torch.empty_like(kernel).copy_(taps.reshape(kernel.shape))
    return grads
