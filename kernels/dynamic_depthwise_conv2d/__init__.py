"""Dynamic depthwise convolution: each channel of each sample has a kernel of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.dynamic_depthwise_conv2d import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "dynamic_depthwise_conv2d"]

OPERATOR = Operator(
    name="dynamic_depthwise_conv2d",
    arguments=reference.Arguments,
    reference=reference.dynamic_depthwise_conv2d,
    fake=lambda args: torch.empty_like(args.x),
)


def dynamic_depthwise_conv2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every channel of every sample with a kernel of its own.

    ``out[b,c,h,w] = sum over i, j of kernel[b,c,i,j] * x[b, c, h + i - kh//2, w + j - kw//2]``, where ``x`` is zero
    outside the map.

    Source: the convolution of ATConv, "Attentive Convolution", arXiv 2510.20092, which its authors compute as a grouped
    convolution with B * C groups.

    Args:
        x: (B, C, H, W), floating point, any strides; channels-last memory is the fast path on the CPU.
        kernel: (B, C, kh, kw) with odd kh and kw, any strides.

    Returns:
        (B, C, H, W) in x's dtype and memory format.

    Raises:
        ValueError: a shape or the kernel size is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    name = "dynamic_depthwise_conv2d"
    if x.dim() != 4:
        raise ValueError(f"{name}: x must be (B, C, H, W), got shape {tuple(x.shape)}")
    if kernel.dim() != 4 or kernel.shape[:2] != x.shape[:2]:
        raise ValueError(
            f"{name}: kernel must be ({x.shape[0]}, {x.shape[1]}, kh, kw) for x of shape {tuple(x.shape)}, "
            f"got shape {tuple(kernel.shape)}"
        )
    if kernel.shape[2] % 2 == 0 or kernel.shape[3] % 2 == 0:
        raise ValueError(f"{name}: kernel sizes must be odd, got {kernel.shape[2]}x{kernel.shape[3]}")
    return OPERATOR(x, kernel)
