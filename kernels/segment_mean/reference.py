"""The definition of the segment mean in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.segment_mean.segment_mean`, positions in one axis."""

    x: Tensor
    segments: Tensor
    segment_count: int


def segment_mean(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.segment_mean.segment_mean`."""
    x, segments, count = args
    index = segments.long()[:, None].expand(x.shape)
    exact = x if x.dtype == torch.float64 else x.float()
    sums = exact.new_zeros(*x.shape[:2], count).scatter_add(2, index, exact)
    sizes = exact.new_zeros(len(x), 1, count).scatter_add(2, index[:, :1], torch.ones_like(exact[:, :1]))
    return (sums / sizes.clamp(min=1)).gather(2, index).to(x.dtype)
