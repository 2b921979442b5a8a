"""The definition of wave aggregation in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.wave_aggregate.wave_aggregate`."""

    x: Tensor
    theta: Tensor
    weight: Tensor
    wave: Tensor


def wave_aggregate(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.wave_aggregate.wave_aggregate`."""
    x, theta, weight, wave = args
    strongest = x.argmax(dim=1, keepdim=True)
    gate = F.gelu(theta)
    features = weight * gate + weight.gather(1, strongest) * gate.gather(1, strongest)
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    cosine, sine = wave.to(features.dtype)[:, :, None, None].unbind(1)
    real, imaginary = features.unflatten(1, (-1, 2)).unbind(2)
    turned = torch.stack([real * cosine - imaginary * sine, real * sine + imaginary * cosine], dim=2)
    return turned.flatten(1, 2)
