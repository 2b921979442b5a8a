"""LayerNorm over the channels of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels import backend as backends
from claimbench.kernels.layer_norm_2d import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "layer_norm_2d"]

OPERATOR = Operator(
    name="layer_norm_2d",
    arguments=reference.Arguments,
    reference=reference.layer_norm_2d,
    fake=lambda args: torch.empty_like(args.x),
)


def layer_norm_2d(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    """Normalise every position of a feature map over its channels.

    ``out[b,:,h,w] = (x[b,:,h,w] - mean) / sqrt(variance + eps) * weight + bias``, with mean and (biased) variance over
    the channels of that position. On the CPU this is PyTorch's own :func:`torch.nn.functional.layer_norm`, which is as
    fast in channels-last memory as a C++ operator was; on a GPU a Triton kernel does channels-first memory without a
    copy. Source: Ba et al., "Layer Normalization", arXiv 1607.06450, in the channels-first use of ConvNeXt (Liu et al.,
    CVPR 2022, arXiv 2201.03545).

    Args:
        x: (B, C, H, W), floating point, any strides.
        weight: (C,).
        bias: (C,).
        eps: added to the variance, not negative.

    Returns:
        (B, C, H, W) in x's dtype; in x's memory format on a GPU, in channels-last memory on the CPU.

    Raises:
        ValueError: a shape or eps is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    if x.dim() != 4:
        raise ValueError(f"layer_norm_2d: x must be (B, C, H, W), got shape {tuple(x.shape)}")
    channels = x.shape[1]
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter.shape != (channels,):
            raise ValueError(f"layer_norm_2d: {name} must be ({channels},), got shape {tuple(parameter.shape)}")
    if eps < 0:
        raise ValueError(f"layer_norm_2d: eps must not be negative, got {eps}")
    if x.device.type == "cpu" and backends.override() != "triton":
        return OPERATOR.inline(x, weight, bias, eps)
    return OPERATOR(x, weight, bias, eps)
