"""The definition of the causal depthwise convolution in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.causal_conv1d.causal_conv1d`."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    silu: bool


def causal_conv1d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.causal_conv1d.causal_conv1d`."""
    x, weight, bias, silu = args
    channels, width = weight.shape
    out = F.conv1d(x, weight.unsqueeze(1), bias, padding=width - 1, groups=channels)[..., : x.shape[-1]]
    return F.silu(out) if silu else out
