"""The definition of the depthwise convolution in plain PyTorch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """See :func:`claimbench.kernels.depthwise_conv2d.depthwise_conv2d`."""
    padding = (dilation * (weight.shape[2] // 2), dilation * (weight.shape[3] // 2))
    return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=x.shape[1])
