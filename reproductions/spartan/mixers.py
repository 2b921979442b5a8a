"""SpaRTAN's two mixers: spatial features of several orders, and channels aggregated as waves."""

from __future__ import annotations

import torch
from timm.layers import SEModule
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.wave_aggregate import wave_aggregate
from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.inplace import gelu
from claimbench.reproductions.layers import DepthwiseConv2d

__all__ = ["ChannelMixer", "ConvNorm", "SpatialMixer"]


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm with the paper's eps."""
    return nn.BatchNorm2d(channels, eps=1e-6)


def convolution(channels: int, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the map's size, without bias."""
    if groups == channels:
        return DepthwiseConv2d(channels, 3, dilation, bias=False)
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)


class ConvNorm(nn.Module):
    """A convolution and BatchNorm: (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = batch_norm(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        return conv_norm(x, self.conv, self.norm)


class SpatialMixer(nn.Module):
    """Two branches of 3x3 convolutions, near and dilated, on features whose contrast to their mean is raised.

    ``x' = reduce(x)``, ``x' = x' + contrast * (x' - mean of x')``, then
    ``project([SE(GELU(near(x'))), SE(GELU(far2(far1(x'))))])``, for (B, C, H, W).

    Args:
        dim: C; the branches have C / 2 channels.
        depthwise: whether the branches' convolutions are depthwise, dense otherwise.
    """

    def __init__(self, dim: int, depthwise: bool) -> None:
        super().__init__()
        half = dim // 2
        groups = half if depthwise else 1
        self.reduce = nn.Conv2d(dim, half, 1)
        self.contrast = nn.Parameter(torch.full((half,), 1e-5))
        self.near = ConvNorm(convolution(half, groups=groups))
        self.far1 = convolution(half, dilation=2, groups=groups)
        self.far2 = ConvNorm(convolution(half, dilation=2, groups=groups))
        self.near_excite = SEModule(half, rd_channels=half // 4)
        self.far_excite = SEModule(half, rd_channels=half // 4)
        self.project = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W) over space."""
        x = self.reduce(x)
        contrast = self.contrast[:, None, None]
        x = torch.addcmul(contrast * -x.mean((2, 3), keepdim=True), x, 1 + contrast)
        near = self.near_excite(gelu(self.near(x)))
        far = self.far_excite(gelu(self.far2(self.far1(x))))
        return self.project(torch.cat([near, far], dim=1))


class ChannelMixer(nn.Module):
    """project(SE(GELU(BN(conv(wave_aggregate(x, theta(x), weight(x)))))) for (B, C, H, W).

    Args:
        dim: C.
        expand: the inner width N over C.
        depthwise: whether the 3x3 convolution is depthwise; otherwise it has C groups of ``expand`` channels.
    """

    def __init__(self, dim: int, expand: int, depthwise: bool) -> None:
        super().__init__()
        inner = dim * expand
        self.theta = nn.Conv2d(dim, inner, 1)
        self.weight = nn.Conv2d(dim, inner, 1)
        self.wave = nn.Parameter(torch.randn(inner // 2, 2))
        self.conv = ConvNorm(convolution(inner, groups=inner if depthwise else dim))
        self.excite = SEModule(inner, rd_channels=dim // 4)
        self.project = nn.Conv2d(inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (B, C, H, W)."""
        theta, weight = self.theta, self.weight
        assert theta.bias is not None
        assert weight.bias is not None
        both = F.conv2d(x, torch.cat([theta.weight, weight.weight]), torch.cat([theta.bias, weight.bias]))
        gates, weights = both.chunk(2, dim=1)
        features = wave_aggregate(x, gates, weights, self.wave)
        return self.project(self.excite(gelu(self.conv(features))))
