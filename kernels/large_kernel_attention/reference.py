"""The definition of large kernel attention in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.large_kernel_attention.large_kernel_attention`."""

    u: Tensor
    local_weight: Tensor
    local_bias: Tensor
    dilated_weight: Tensor
    dilated_bias: Tensor
    pointwise_weight: Tensor
    pointwise_bias: Tensor
    dilation: int


def large_kernel_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.large_kernel_attention.large_kernel_attention`."""
    channels = args.u.shape[1]
    near, far = args.local_weight.shape[-1] // 2, args.dilation * (args.dilated_weight.shape[-1] // 2)
    local = F.conv2d(args.u, args.local_weight, args.local_bias, padding=near, groups=channels)
    dilated = F.conv2d(
        local, args.dilated_weight, args.dilated_bias, padding=far, dilation=args.dilation, groups=channels
    )
    return args.u * F.conv2d(dilated, args.pointwise_weight, args.pointwise_bias)
