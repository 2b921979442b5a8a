"""Large kernel attention: a large convolution decomposed into three small ones, whose result gates its input."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.large_kernel_attention import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "large_kernel_attention"]

OPERATOR = Operator(
    name="large_kernel_attention",
    arguments=reference.Arguments,
    reference=reference.large_kernel_attention,
    fake=lambda args: torch.empty_like(args.u),
)


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
    """Gate a map by its own convolution with a decomposed large kernel.

    ``u * pointwise(dilated(local(u)))``: a depthwise convolution, a dilated depthwise convolution and a 1x1
    convolution, the first two with zero padding that keeps the size; no sigmoid.

    Source: Guo et al., "Visual Attention Network", arXiv 2202.09741, equation 1.

    Args:
        u: (B, C, H, W), floating point, any strides; channels-last memory is the fast path on the CPU.
        local_weight, local_bias: (C, 1, k, k) with odd k (5 in the paper) and (C,).
        dilated_weight, dilated_bias: (C, 1, k', k') with odd k' (7 in the paper) and (C,).
        pointwise_weight, pointwise_bias: (C, C, 1, 1) and (C,).
        dilation: of the dilated convolution (3 in the paper), at least 1.

    Returns:
        (B, C, H, W) in u's dtype and memory format.

    Raises:
        ValueError: a shape, a kernel size or the dilation is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    name = "large_kernel_attention"
    if u.dim() != 4:
        raise ValueError(f"{name}: u must be (B, C, H, W), got shape {tuple(u.shape)}")
    channels = u.shape[1]
    for which, weight in (("local", local_weight), ("dilated", dilated_weight)):
        size = weight.shape[-1]
        if weight.shape != (channels, 1, size, size) or size % 2 == 0:
            raise ValueError(
                f"{name}: {which}_weight must be ({channels}, 1, k, k) with odd k, got shape {tuple(weight.shape)}"
            )
    if pointwise_weight.shape != (channels, channels, 1, 1):
        raise ValueError(
            f"{name}: pointwise_weight must be ({channels}, {channels}, 1, 1), "
            f"got shape {tuple(pointwise_weight.shape)}"
        )
    for which, bias in (("local", local_bias), ("dilated", dilated_bias), ("pointwise", pointwise_bias)):
        if bias.shape != (channels,):
            raise ValueError(f"{name}: {which}_bias must be ({channels},), got shape {tuple(bias.shape)}")
    if dilation < 1:
        raise ValueError(f"{name}: dilation must be at least 1, got {dilation}")
    return OPERATOR(
        u, local_weight, local_bias, dilated_weight, dilated_bias, pointwise_weight, pointwise_bias, dilation
    )
