"""The definition of the depthwise convolution in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.depthwise_conv2d.depthwise_conv2d`."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    dilation: int


def depthwise_conv2d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.depthwise_conv2d.depthwise_conv2d`."""
    x, weight, bias, dilation = args
    padding = (dilation * (weight.shape[2] // 2), dilation * (weight.shape[3] // 2))
    return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=x.shape[1])
