"""Depthwise convolution of any kernel size, stride 1, with zero padding that keeps the size of the map."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.depthwise_conv2d import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "depthwise_conv2d"]

OPERATOR = Operator(
    name="depthwise_conv2d",
    arguments=reference.Arguments,
    reference=reference.depthwise_conv2d,
    fake=lambda args: torch.empty_like(args.x),
)


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """Convolve every channel with a kernel of its own.

    ``out[b,c,h,w] = bias[c] + sum over i, j of weight[c,0,i,j] * x[b, c, h + d (i - kh//2), w + d (j - kw//2)]``,
    where ``d`` is the dilation and ``x`` is zero outside the map.

    Source: the depthwise case (groups = channels) of :func:`torch.nn.functional.conv2d`. Large kernels of this kind:
    Ding et al., "Scaling Up Your Kernels to 31x31", CVPR 2022, arXiv 2203.06717.

    Args:
        x: (B, C, H, W), floating point, any strides; channels-last memory is the fast path on the CPU.
        weight: (C, 1, kh, kw) with odd kh and kw.
        bias: (C,) or None.
        dilation: the distance between two taps, at least 1.

    Returns:
        (B, C, H, W) in x's dtype and memory format.

    Raises:
        ValueError: a shape, the kernel size or the dilation is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    if x.dim() != 4:
        raise ValueError(f"depthwise_conv2d: x must be (B, C, H, W), got shape {tuple(x.shape)}")
    channels = x.shape[1]
    if weight.dim() != 4 or weight.shape[0] != channels or weight.shape[1] != 1:
        raise ValueError(
            f"depthwise_conv2d: weight must be ({channels}, 1, kh, kw) for x of shape {tuple(x.shape)}, "
            f"got shape {tuple(weight.shape)}"
        )
    if weight.shape[2] % 2 == 0 or weight.shape[3] % 2 == 0:
        raise ValueError(f"depthwise_conv2d: kernel sizes must be odd, got {weight.shape[2]}x{weight.shape[3]}")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"depthwise_conv2d: bias must be ({channels},), got shape {tuple(bias.shape)}")
    if dilation < 1:
        raise ValueError(f"depthwise_conv2d: dilation must be at least 1, got {dilation}")
    return OPERATOR(x, weight, bias, dilation)
