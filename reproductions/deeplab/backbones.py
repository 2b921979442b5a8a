"""VGG-16 and ResNet as feature extractors of output stride 8: the last strides are gone, the last filters have holes.

Section 3.1. Pooling is Caffe's, which rounds the size of its output up: a picture of 321 (513) pixels a side gives a
map of 41 (65).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.inplace import add
from claimbench.reproductions.layers import ConvNorm2d

__all__ = ["STRIDE", "VGG16", "ResNet"]

STRIDE = 8
"""Pixels of the picture from one position of the features to the next."""

VGG_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of conv1_x to conv5_x."""


class VGG16(nn.Module):
    """The thirteen convolutions of VGG-16; pool4 and pool5 keep the resolution and conv5 has rate 2.

    Args:
        pool_kernel: the side of the max pools: 3 (LargeFOV and ASPP), or 2 as in VGG (the pool after conv5 has 3).
        average_pool: whether a 3x3 average pool follows (LargeFOV).
    """

    def __init__(self, pool_kernel: int = 3, average_pool: bool = False) -> None:
        super().__init__()
        stages, channels = [], 3
        for i, (width, depth) in enumerate(VGG_STAGES):
            rate = 2 if i == 4 else 1
            convolutions = []
            for _ in range(depth):
                convolutions.append(nn.Conv2d(channels, width, 3, padding=rate, dilation=rate))
                channels = width
            stages.append(nn.ModuleList(convolutions))
        self.stages = nn.ModuleList(stages)
        self.pools = nn.ModuleList(
            nn.MaxPool2d(3 if i == 4 else pool_kernel, 2 if i < 3 else 1, 1, ceil_mode=True) for i in range(5)
        )
        self.average = nn.AvgPool2d(3, 1, 1) if average_pool else nn.Identity()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 512, h, w) for pictures (B, 3, H, W), h = ceil(H / 8) or one more."""
        for stage, pool in zip(self.stages, self.pools, strict=True):
            assert isinstance(stage, nn.ModuleList)
            for convolution in stage:
                x = F.relu(convolution(x), inplace=True)
            x = pool(x)
        return self.average(x)


class Bottleneck(nn.Module):
    """relu(x + expand(relu(atrous(relu(reduce(x)))))); the stride is in the first 1x1 convolution, as in Caffe."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, rate: int, project: bool) -> None:
        super().__init__()
        inner = out_channels // 4
        self.reduce = ConvNorm2d(in_channels, inner, 1, stride, bias=False)
        self.atrous = ConvNorm2d(inner, inner, 3, dilation=rate, bias=False)
        self.expand = ConvNorm2d(inner, out_channels, 1, bias=False)
        self.shortcut = ConvNorm2d(in_channels, out_channels, 1, stride, bias=False) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        inner = F.relu(self.atrous(F.relu(self.reduce(x), inplace=True)), inplace=True)
        return F.relu(add(self.expand(inner), self.shortcut(x)), inplace=True)


class ResNet(nn.Module):
    """ResNet with bottlenecks whose last two stages keep the resolution, at rates 2 and 4.

    Its BatchNorms use their running statistics in training too. The public training code freezes them, because few
    pictures fit into a batch.

    Args:
        n_blocks: the blocks of each of the four stages: 3, 4, 23 and 3 for ResNet-101.
    """

    def __init__(self, n_blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNorm2d(3, 64, 7, 2, bias=False)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        stages, channels = [], 64
        for i, depth in enumerate(n_blocks):
            width, stride, rate = 256 << i, 2 if i == 1 else 1, (1, 1, 2, 4)[i]
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(channels, width, stride if j == 0 else 1, rate, project=j == 0))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 2048, h, w) for pictures (B, 3, H, W), h = ceil(H / 8) or one more."""
        x = self.pool(F.relu(self.stem(x), inplace=True))
        for stage in self.stages:
            x = stage(x)
        return x

    def train(self, mode: bool = True) -> ResNet:
        """Switch between training and evaluation; the BatchNorms stay in evaluation."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self
