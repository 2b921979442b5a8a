"""The definition of the dynamic depthwise convolution in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.dynamic_depthwise_conv2d.dynamic_depthwise_conv2d`."""

    x: Tensor
    kernel: Tensor


def dynamic_depthwise_conv2d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.dynamic_depthwise_conv2d.dynamic_depthwise_conv2d`."""
    x, kernel = args
    batch, channels, height, width = x.shape
    if batch * channels == 0:  # a convolution has at least one group
        return x * kernel.sum((2, 3), keepdim=True)
    groups = batch * channels
    padding = (kernel.shape[2] // 2, kernel.shape[3] // 2)
    flat = kernel.reshape(groups, 1, *kernel.shape[2:])
    out = F.conv2d(x.reshape(1, groups, height, width), flat, padding=padding, groups=groups)
    return out.view(batch, channels, height, width)
