"""The heads that score features: one or several parallel branches of different rates, summed (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.deeplab.atrous import span

__all__ = ["AtrousPyramid", "Branch", "LinearPyramid"]


class Branch(nn.Module):
    """fc6 (atrous) - ReLU - dropout - fc7 (1x1) - ReLU - dropout - fc8 (1x1): VGG's classifier as convolutions.

    Args:
        channels: the channels of the features.
        hidden: the filters of fc6 and fc7.
        n_classes: the width of the scores.
        kernel, rate: the side and the rate of fc6; its padding keeps the size of the map.
    """

    def __init__(self, channels: int, hidden: int, n_classes: int, kernel: int, rate: int) -> None:
        super().__init__()
        self.fc6 = nn.Conv2d(channels, hidden, kernel, padding=span(kernel, rate) // 2, dilation=rate)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.fc8 = nn.Conv2d(hidden, n_classes, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to scores (B, n_classes, h, w)."""
        x = self.dropout(F.relu(self.fc6(x), inplace=True))
        x = self.dropout(F.relu(self.fc7(x), inplace=True))
        return self.fc8(x)


class AtrousPyramid(nn.Module):
    """ASPP on VGG-16: a whole :class:`Branch` for each rate, their scores summed. One rate is LargeFOV."""

    def __init__(self, channels: int, hidden: int, n_classes: int, kernel: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(channels, hidden, n_classes, kernel, rate) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to scores (B, n_classes, h, w)."""
        return _total(self.branches, x)


class LinearPyramid(nn.Module):
    """ASPP on ResNet: a convolution from features to scores for each rate, summed, nothing in between."""

    def __init__(self, channels: int, n_classes: int, kernel: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, n_classes, kernel, padding=span(kernel, rate) // 2, dilation=rate) for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to scores (B, n_classes, h, w)."""
        return _total(self.branches, x)


def _total(branches: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.stack([branch(x) for branch in branches]).sum(0) if len(branches) > 1 else branches[0](x)
