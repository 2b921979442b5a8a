"""HaloNet: a ResNet whose 3x3 convolutions are halo attention, in all blocks or in some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.halonet.attention import HaloAttention
from claimbench.reproductions.halonet.blocks import Bottleneck, ConvNorm, Stage
from claimbench.reproductions.layers import channels_last, drop_path_rates

STRIDES = (1, 2, 2, 2)


class Stem(nn.Module):
    """One 7x7 convolution, or three of 3x3 (``tiered``), at stride 2, then stride 2 again.

    Args:
        width: channels of the output.
        kind: ``7x7`` or ``tiered``.
        pool: ``max`` for 3x3 max pooling; ``zero_max`` for max pooling of the map padded with zeros, which differs for
            negative activations; ``conv`` for a last convolution at stride 2 instead.
        act: the activation.
        channels: of the picture.
    """

    def __init__(self, width: int, kind: str, pool: str, act: str, channels: int = 3) -> None:
        super().__init__()
        if kind not in ("7x7", "tiered") or pool not in ("max", "zero_max", "conv"):
            raise ValueError(f"halonet: there is no stem {kind!r} with pooling {pool!r}")
        self.pool = pool
        kernel, widths = (7, (width,)) if kind == "7x7" else (3, (3 * width // 8, width // 2, width))
        strides = [2] + [1] * (len(widths) - 1)
        if pool == "conv":
            strides[-1] = 2
        self.convs = nn.Sequential(
            *(
                ConvNorm(dim, out, kernel, act, stride)
                for dim, out, stride in zip((channels, *widths), widths, strides, strict=False)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, width, H / 4, W / 4)."""
        x = self.convs(x)
        if self.pool == "zero_max":
            return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
        return F.max_pool2d(x, 3, 2, 1) if self.pool == "max" else x


class HaloNet(nn.Module):
    """The network: (B, 3, H, W) to (B, num_classes).

    Blocks must tile the map of every stage with attention; models with ``pad`` take any H and W.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        act, depths = config["act"], config["depths"]
        attention = config.get("attention") or [range(depth) for depth in depths]
        rates = drop_path_rates(config.get("drop_path", 0.0), depths)
        dim = config.get("stem_width", 64)
        self.stem = Stem(dim, config["stem"], config["stem_pool"], act, config.get("in_chans", 3))
        self.stages = nn.ModuleList()
        for i, depth in enumerate(depths):
            hidden = config["hidden"][i]
            stage = Stage(
                dim_out=config["out_channels"][i],
                hidden=hidden,
                attended=int(hidden * config.get("rv", 1.0)),
                num_heads=config["num_heads"][i],
                head_dim=config.get("head_dim"),
                block_size=config["block_size"],
                halo_size=config["halo_sizes"][i] if "halo_sizes" in config else config["halo_size"],
                act=act,
                groups=hidden // config["group_size"] if config.get("group_size") else 1,
                channel_attention=config.get("channel_attention", ""),
                pad=config.get("pad", False),
            )
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(dim, stage, STRIDES[i] if j == 0 else 1, j in attention[i], rates[i][j]))
                dim = stage.dim_out
            self.stages.append(nn.Sequential(*blocks))
        features = config.get("df")
        self.features = ConvNorm(dim, features, 1, act) if features else nn.Identity()
        self.head = nn.Linear(features or dim, config.get("num_classes", 1000))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the maps of the stem, of every stage and of the last convolution (or the last stage again)."""
        maps = [self.stem(channels_last(x))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [*maps, self.features(maps[-1])]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.head(self.forward_features(x)[-1].mean((2, 3)))


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``.

    A configuration with ``module: attention`` is the attention layer alone, for (B, dim, H, W) maps.
    """
    if form != "model":
        raise ValueError(f"halonet has the form 'model' only, not {form!r}")
    if config.get("module") == "attention":
        return HaloAttention(**{name: value for name, value in config.items() if name != "module"})
    return HaloNet(config)
