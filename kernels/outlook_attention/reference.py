"""The definition of outlook attention in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.outlook_attention.outlook_attention`."""

    scores: Tensor
    value: Tensor
    kernel_size: int
    stride: int
    padding: int
    scale: float


def outlook_attention(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.outlook_attention.outlook_attention`."""
    scores, value, kernel_size, stride, padding, scale = args
    height, width, groups = value.shape[1:4]
    weights = (scores * scale).softmax(-1).to(value.dtype).flatten(1, 2)  # (B, h * w, G, k^2, k^2)
    window = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    columns = F.unfold(value.flatten(3).permute(0, 3, 1, 2), **window)  # (B, G * D * k^2, h * w)
    columns = columns.unflatten(1, (groups, -1, kernel_size**2)).permute(0, 4, 1, 3, 2)
    mixed = (weights @ columns).permute(0, 2, 4, 3, 1)  # (B, G, D, k^2, h * w)
    folded = F.fold(mixed.flatten(1, 3), output_size=(height, width), **window)
    return folded.permute(0, 2, 3, 1).unflatten(-1, (groups, -1))
