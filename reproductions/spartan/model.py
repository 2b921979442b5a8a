"""SpaRTAN: a small convolutional backbone with multi-order spatial features and wave-based channel aggregation.

"SpaRTAN: Spatial Reinforcement Token-based Aggregation Network for Visual Recognition", IJCNN 2025, arXiv 2507.10999.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from timm.layers import DropPath, LayerScale2d
from torch import Tensor, nn

from claimbench.reproductions.inference import by_pieces
from claimbench.reproductions.initialise import by_fan_out
from claimbench.reproductions.layers import channels_last
from claimbench.reproductions.spartan.mixers import ChannelMixer, ConvNorm, SpatialMixer

__all__ = ["SpaRTAN", "build"]


class Block(nn.Module):
    """x + scale * spatial(norm(x)), then x + scale * channel(norm(x)).

    The norm is over channels and positions together (one group), with weights for each channel.
    """

    def __init__(self, dim: int, expand: int, late: bool, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, dim, eps=1e-6)
        self.spatial = SpatialMixer(dim, depthwise=late)
        self.scale1 = LayerScale2d(dim, 1e-5)
        self.norm2 = nn.GroupNorm(1, dim, eps=1e-6)
        self.channel = ChannelMixer(dim, expand, depthwise=not late)
        self.scale2 = LayerScale2d(dim, 1e-5)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        if self.training:
            x = x + self.drop_path(self.scale1(self.spatial(self.norm1(x))))
            return x + self.drop_path(self.scale2(self.channel(self.norm2(x))))
        x = torch.addcmul(x, self.spatial(self.norm1(x)), self.scale1.gamma[:, None, None])
        return torch.addcmul(x, self.channel(self.norm2(x)), self.scale2.gamma[:, None, None])


class SpaRTAN(nn.Module):
    """A stem of stride 4, stages at strides 4, 8, 16 and 32, mean pooling, one linear layer; there is no last norm.

    In the second half of the stages the spatial mixer's convolutions become depthwise, and the channel mixer's go from
    depthwise to groups.

    Args:
        layer_depths: the blocks of each stage, at least one.
        expand_ratios: the expansion of the channel mixer in each stage.
        dims: the channels of the stages after the first.
        init_dim: the channels of the first stage.
        num_layer: the number of stages; None for that of the depths.
        dropout: the rate of stochastic depth, which rises linearly from 0, one block behind the last.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
    """

    def __init__(
        self,
        layer_depths: Sequence[int],
        expand_ratios: Sequence[int],
        dims: Sequence[int],
        init_dim: int = 32,
        num_layer: int | None = None,
        dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        widths = [init_dim, *dims]
        stages = len(layer_depths) if num_layer is None else num_layer
        if not stages == len(layer_depths) == len(expand_ratios) == len(widths) or min(layer_depths) < 1:
            raise ValueError(
                f"spartan: {stages} stages need as many depths (each at least 1) and ratios, and one width fewer; "
                f"got {list(layer_depths)}, {list(expand_ratios)} and {list(dims)}"
            )
        self.expand_ratios = tuple(expand_ratios)
        self.stem = nn.Sequential(
            ConvNorm(nn.Conv2d(in_channels, init_dim // 2, 3, 2, 1, bias=False)),
            nn.GELU(),
            ConvNorm(nn.Conv2d(init_dim // 2, init_dim, 3, 2, 1, bias=False)),
            nn.GELU(),
        )
        self.downs = nn.ModuleList(
            nn.Sequential(ConvNorm(nn.Conv2d(before, width, 2, 2, bias=False)), nn.SiLU())
            for before, width in pairwise(widths)
        )
        self.stages = nn.ModuleList()
        count, total = 0, sum(layer_depths)
        for i, depth in enumerate(layer_depths):
            late = i >= stages // 2
            rates = [dropout * (count + j) / total for j in range(depth)]
            self.stages.append(nn.Sequential(*[Block(widths[i], expand_ratios[i], late, rate) for rate in rates]))
            count += depth
        self.head = nn.Linear(widths[-1], num_classes)
        self.apply(by_fan_out)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map of every stage for pictures (B, 3, H, W)."""
        x = self.stem(channels_last(x))
        maps = []
        for down, stage, expand in zip([nn.Identity(), *self.downs], self.stages, self.expand_ratios, strict=True):
            x = down(x)
            x = by_pieces(stage, x, 2 * expand * x.shape[1])
            maps.append(x)
        return maps

    def forward_head(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for the last stage's map (B, C, H, W)."""
        return self.head(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.forward_head(self.forward_features(x)[-1])


def build(config: Mapping[str, Any], form: str = "model") -> SpaRTAN:
    """Return a randomly initialised SpaRTAN; ``config`` holds the arguments of :class:`SpaRTAN`.

    Raises:
        ValueError: there is no form of that name, or the numbers of stages, depths, ratios and widths disagree.
    """
    if form != "model":
        raise ValueError(f"spartan has the form 'model' only, got {form!r}")
    return SpaRTAN(**config)
