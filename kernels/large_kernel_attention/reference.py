"""The definition of large kernel attention in plain PyTorch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def large_kernel_attention(
    u: Tensor,
    local_weight: Tensor,
    local_bias: Tensor,
    dilated_weight: Tensor,
    dilated_bias: Tensor,
    pointwise_weight: Tensor,
    pointwise_bias: Tensor,
    dilation: int,
) -> Tensor:
    """See :func:`claimbench.kernels.large_kernel_attention.large_kernel_attention`."""
    channels = u.shape[1]
    near, far = local_weight.shape[-1] // 2, dilation * (dilated_weight.shape[-1] // 2)
    local = F.conv2d(u, local_weight, local_bias, padding=near, groups=channels)
    dilated = F.conv2d(local, dilated_weight, dilated_bias, padding=far, dilation=dilation, groups=channels)
    return u * F.conv2d(dilated, pointwise_weight, pointwise_bias)
