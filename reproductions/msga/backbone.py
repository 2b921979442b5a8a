"""ResNeXt-101 (arXiv 1611.05431) of any width, whose four maps the segmentation network reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.msga.attention import Layers

EXPANSION = 4
"""A block gives so many times more channels than its stage's number of planes."""


class Bottleneck(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolution beside a skip: (B, inputs, H, W) to (B, 4 planes, H / s, W / s)."""

    def __init__(self, inputs: int, planes: int, width: int, groups: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * planes
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = Layers(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's map."""
        y = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)
        y = F.relu(conv_norm(y, self.conv2, self.bn2), inplace=True)
        y = conv_norm(y, self.conv3, self.bn3)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNeXt(nn.Module):
    """The backbone: (B, in_chans, H, W) to its maps at 1/4, 1/8, 1/16 and 1/32.

    Args:
        in_chans: channels of the picture.
        layers: blocks of each stage.
        planes: of the first stage; each further one has twice as many. The maps have 4, 8, 16 and 32 times as many.
        groups, group_width: of the 3x3 convolutions of the first stage; the width doubles with the planes.
    """

    def __init__(self, in_chans: int, layers: Sequence[int], planes: int, groups: int, group_width: int) -> None:
        super().__init__()
        self.stem = Layers(
            nn.Conv2d(in_chans, planes, 7, 2, 3, bias=False), nn.BatchNorm2d(planes), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.channels = tuple(EXPANSION * planes * 2**stage for stage in range(len(layers)))
        self.layers = nn.ModuleList()
        inputs = planes
        for stage, (depth, outputs) in enumerate(zip(layers, self.channels, strict=True)):
            width, first = groups * group_width * 2**stage, 1 if stage == 0 else 2
            blocks = []
            for block in range(depth):
                blocks.append(Bottleneck(inputs, planes * 2**stage, width, groups, 1 if block else first))
                inputs = outputs
            self.layers.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps, the finest first."""
        x = self.pool(self.stem(x))
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps
