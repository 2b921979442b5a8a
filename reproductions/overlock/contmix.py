"""ContMix, the context-mixing dynamic convolution of OverLoCK."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.context_mix import context_mix
from claimbench.reproductions.inplace import add
from claimbench.reproductions.overlock.layers import LargeKernel, NormPointwise, PointwiseNorm, squeeze_excite

REGIONS = 7
"""The side of the grid of regions that the context is pooled to; kernels are made from affinities to them."""


class ContextMixing(nn.Module):
    """Convolution of half of the channels with a small and half with a large kernel, both made for every position.

    Position n and group g have the affinities ``a_r = scale * q_n . k_r`` to the 49 regions. A linear map of them plus
    a relative position bias gives the logits of the 5x5 and of the K x K kernel. Each kernel is the softmax of its
    logits and sums the values in its window. At the border windows are shifted inside the map.
    """

    def __init__(self, dim: int, context_dim: int, kernel_sizes: tuple[int, int], groups: int, own_value: bool) -> None:
        super().__init__()
        self.kernel_sizes, self.groups = kernel_sizes, groups
        self.scale = (dim // groups) ** -0.5  # the official scale, although a query has dim / (2 groups) channels
        self.query = PointwiseNorm(dim, dim // 2)
        self.key = PointwiseNorm(context_dim, dim // 2)
        self.value = PointwiseNorm(dim, dim) if own_value else nn.Identity()
        self.kernels = nn.Linear(REGIONS**2, sum(k * k for k in kernel_sizes))
        self.position_bias = nn.ParameterList(
            [nn.Parameter(torch.zeros(groups, 2 * k - 1, 2 * k - 1)) for k in kernel_sizes]
        )

    def enlarged_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which the map is mixed, whose shorter side is at least the large kernel's."""
        kernel_size = self.kernel_sizes[-1]
        if min(height, width) >= kernel_size:
            return height, width
        if height < width:
            return kernel_size, int(kernel_size / height * width)
        return int(kernel_size / width * height), kernel_size

    def forward(self, value: Tensor, features: Tensor, context: Tensor) -> Tensor:
        """Mix ``value`` (B, C, H, W) by kernels from ``features`` (B, C, H, W) and ``context`` (B, Cc, H, W)."""
        height, width = value.shape[2:]
        size = self.enlarged_size(height, width)
        if size != (height, width):
            value, features, context = (
                F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in (value, features, context)
            )
        regions = F.adaptive_avg_pool2d(context, REGIONS)
        query = self.query(features).unflatten(1, (self.groups, -1)).permute(0, 1, 3, 4, 2)
        key = (self.key(regions) * self.scale).unflatten(1, (self.groups, -1)).flatten(3).transpose(2, 3)
        halves = self.value(value).unflatten(1, (len(self.kernel_sizes), self.groups, -1)).permute(0, 1, 2, 4, 5, 3)
        mixed = context_mix(
            query, key, self.kernels.weight, self.kernels.bias, tuple(self.position_bias), halves, self.kernel_sizes
        )
        mixed = mixed.permute(0, 1, 2, 5, 3, 4).flatten(1, 3)
        return mixed if size == (height, width) else F.adaptive_avg_pool2d(mixed, (height, width))


class ContMix(nn.Module):
    """``W BN(gate * SE(BN(W' mix(v)) + large_kernel(v)))`` with ``gate = SiLU(BN(W" v))``."""

    def __init__(
        self,
        dim: int,
        context_dim: int,
        out_dim: int,
        kernel_size: int,
        small_kernel_size: int,
        num_heads: int,
        merged: bool,
        own_value: bool = False,
    ) -> None:
        super().__init__()
        sizes = (small_kernel_size, kernel_size)
        self.mixing = ContextMixing(dim, context_dim, sizes, 2 * num_heads, own_value)
        self.after_mixing = PointwiseNorm(dim, dim)
        self.large_kernel = LargeKernel(dim, kernel_size, merged)
        self.excite = squeeze_excite(dim)
        self.gate = PointwiseNorm(dim, dim)
        self.project = NormPointwise(dim, out_dim)

    def forward(self, value: Tensor, features: Tensor, context: Tensor) -> Tensor:
        """Map value and features (B, C, H, W) and context (B, Cc, H, W) to (B, out_dim, H, W)."""
        gate = F.silu(self.gate(value), inplace=not torch.is_grad_enabled())
        mixed = self.after_mixing(self.mixing(value, features, context))
        return self.project(gate * self.excite(add(mixed, self.large_kernel(value))))
