"""The definition of LayerNorm over channels in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.layer_norm_2d.layer_norm_2d`."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    eps: float


def layer_norm_2d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.layer_norm_2d.layer_norm_2d`."""
    x, weight, bias, eps = args
    return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, eps).permute(0, 3, 1, 2)
