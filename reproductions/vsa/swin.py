"""Swin with varied-size windows in place of shifted ones, after the paper's tables; no code was released."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.inplace import add
from claimbench.reproductions.layers import LayerNorm2d, channels_last, drop_path_rates
from claimbench.reproductions.vsa.cells import Attend, feed_forward, window_attention

EPS = 1e-5


class Block(nn.Module):
    """Pre-norm residual block: varied-size window attention, then an MLP."""

    def __init__(self, dim: int, num_heads: int, config: Mapping[str, Any], drop_path: float) -> None:
        super().__init__()
        attention = window_attention(dim, dim, num_heads, config["window_size"], config.get("fixed", False))
        self.attend = Attend(attention, dim, EPS, config["cpe"])
        self.norm = nn.LayerNorm(dim, EPS)
        self.mlp = Mlp(dim, int(dim * config["mlp_ratio"]))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        x = add(self.drop_path(self.attend(x)), x)
        return feed_forward(x, self.norm, self.mlp, self.drop_path)


class PatchMerging(nn.Module):
    """LayerNorm over the channels of every 2x2 patch, then a linear layer to twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=EPS)
        self.reduce = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2 C, ceil(H / 2), ceil(W / 2))."""
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)).permute(0, 2, 3, 1)
        patches = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2, 5)  # (B, Y, X, column, row, C)
        return self.reduce(self.norm(patches.flatten(3))).permute(0, 3, 1, 2)


class SwinVSA(nn.Module):
    """The network: (B, 3, H, W) to (B, num_classes), H and W multiples of 4 and at least 196."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, depths = config["embed_dim"], config["depths"]
        rates = drop_path_rates(config.get("drop_path", 0.0), depths)
        self.embed = nn.Conv2d(config.get("in_chans", 3), dim, 4, stride=4)
        self.embed_norm = LayerNorm2d(dim, EPS)
        self.merges, self.stages = nn.ModuleList(), nn.ModuleList()
        for i, heads in enumerate(config["num_heads"]):
            self.merges.append(PatchMerging(dim) if i else nn.Identity())
            dim = 2 * dim if i else dim
            self.stages.append(nn.Sequential(*(Block(dim, heads, config, rate) for rate in rates[i])))
        self.norm = LayerNorm2d(dim, EPS)
        self.head = nn.Linear(dim, config.get("num_classes", 1000))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the maps of every stage for pictures (B, 3, H, W)."""
        x = self.embed_norm(self.embed(channels_last(x)))
        maps = []
        for merge, stage in zip(self.merges, self.stages, strict=True):
            x = stage(merge(x))
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.head(self.norm(self.forward_features(x)[-1]).mean((2, 3)))
