"""Wave aggregation: gated channels, plus the strongest input channel's, turned in pairs as complex numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.wave_aggregate import reference

__all__ = ["OPERATOR", "wave_aggregate"]


def _fake(args: reference.Arguments) -> Tensor:
    theta = args.theta
    return torch.empty_like(theta, dtype=torch.promote_types(theta.dtype, torch.float32))


OPERATOR = Operator(
    name="wave_aggregate",
    arguments=reference.Arguments,
    reference=reference.wave_aggregate,
    fake=_fake,
)


def wave_aggregate(x: Tensor, theta: Tensor, weight: Tensor, wave: Tensor) -> Tensor:
    """Gate channels, add the gated value of the strongest input channel to all, and turn pairs as complex numbers.

    With ``g = GELU(theta)`` and i the first channel at which x is largest, at each position,
    ``f = weight * g + weight[i] * g[i]``; then ``f[2j] + i f[2j + 1]`` is multiplied by ``wave[j]``. The choice of i
    has no gradient.

    Source: the channel mixer of SpaRTAN, arXiv 2507.10999, which its authors compute in complex tensors.

    Args:
        x: (B, C, H, W), floating point, any strides; channels-last memory is the fast path on the CPU.
        theta: (B, N, H, W) with N even and at least C, any strides.
        weight: (B, N, H, W), any strides.
        wave: (N / 2, 2), real and imaginary parts.

    Returns:
        (B, N, H, W) in theta's memory format; float32 for half-precision tensors, as officially under autocast too.

    Raises:
        ValueError: a shape is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    if x.dim() != 4 or x.shape[1] == 0:
        raise ValueError(f"wave_aggregate: x must be (B, C, H, W) with C at least 1, got shape {tuple(x.shape)}")
    batch, channels, height, width = x.shape
    inner = theta.shape[1] if theta.dim() == 4 else 0
    if theta.shape != (batch, inner, height, width) or inner < channels or inner % 2:
        raise ValueError(
            f"wave_aggregate: theta must be ({batch}, N, {height}, {width}) with N even and at least {channels}, "
            f"got shape {tuple(theta.shape)}"
        )
    if weight.shape != theta.shape:
        raise ValueError(f"wave_aggregate: weight must be {tuple(theta.shape)}, got shape {tuple(weight.shape)}")
    if wave.shape != (inner // 2, 2):
        raise ValueError(f"wave_aggregate: wave must be ({inner // 2}, 2), got shape {tuple(wave.shape)}")
    return OPERATOR(x.detach(), theta, weight, wave)
