"""DaViT: four stages of window attention and channel attention in turn, without position embedding."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.davit.attention import ChannelAttention, WindowAttention
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import ResidualDepthwiseConv2d, add_feed_forward, channels_last, drop_path_rates


class PositionalEncoding(ResidualDepthwiseConv2d):
    """x + depthwise3x3(x), with a GELU on the second term if ``act`` is set (the conditional encoding of CPVT)."""

    def __init__(self, dim: int, act: bool) -> None:
        super().__init__(dim, 3)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Encode the map (B, H, W, C)."""
        x = x.permute(0, 3, 1, 2)
        encoded = x + F.gelu(self._conv_forward(x, self.weight, self.bias)) if self.act else super().forward(x)
        return encoded.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Encoding, attention, encoding, MLP, each with its shortcut.

    Args:
        attention: maps (B, H, W, C) to (B, H, W, C).
        dim: C.
        mlp_ratio: hidden channels of the MLP over C; 0 leaves the MLP out.
        eps: the eps of the LayerNorms.
        drop_path: rate of stochastic depth.
        encoding_act: whether the encodings have an activation.
    """

    def __init__(
        self, attention: nn.Module, dim: int, mlp_ratio: float, eps: float, drop_path: float, encoding_act: bool
    ) -> None:
        super().__init__()
        self.encode1 = PositionalEncoding(dim, encoding_act)
        self.norm1 = nn.LayerNorm(dim, eps)
        self.attn = attention
        self.encode2 = PositionalEncoding(dim, encoding_act)
        if mlp_ratio:
            self.norm2 = nn.LayerNorm(dim, eps)
            self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.has_mlp = bool(mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = self.encode1(x)
        x = self.encode2(x + self.drop_path(self.attn(self.norm1(x))))
        return add_feed_forward(x, self.norm2, self.mlp, self.drop_path) if self.has_mlp else x


class PatchEmbed(nn.Module):
    """A strided convolution with its LayerNorm: after it in the stem, before it between stages.

    Maps (B, H, W, C) to (B, H / stride, W / stride, dim); zeros at the right and the bottom complete sides that the
    stride does not divide.
    """

    def __init__(self, channels: int, dim: int, kernel: int, stride: int, eps: float, norm_first: bool) -> None:
        super().__init__()
        self.stride, self.norm_first = stride, norm_first
        padding = kernel // 2 if kernel > stride else 0
        self.conv = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(channels if norm_first else dim, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Embed the map (B, H, W, C)."""
        if self.norm_first:
            x = self.norm(x)
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % self.stride, 0, -height % self.stride))
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x if self.norm_first else self.norm(x)


class DaViT(nn.Module):
    """The network: pictures (B, 3, H, W) of any size to logits (B, num_classes).

    Args:
        config: ``embed_dims``, ``num_heads`` and ``depths`` of the stages (a unit of depth is one block of each
            attention in ``attention_types``); ``window_size``; ``mlp_ratio``; ``qkv_bias``; ``ffn`` (whether blocks
            have MLPs); ``overlapped_patch`` (3x3 instead of 2x2 convolutions between stages); ``cpe_act``;
            ``layer_norm_eps``; ``drop_path_rate_train``; ``num_classes``; ``in_chans``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dims, depths = config["embed_dims"], config["depths"]
        eps = float(config.get("layer_norm_eps", 1e-5))
        kernel = 3 if config.get("overlapped_patch", False) else 2
        if config.get("patch_size", 4) != 4:
            raise ValueError(f"davit: the official stem has patch_size 4, got {config['patch_size']}")
        self.embeds = nn.ModuleList([PatchEmbed(config.get("in_chans", 3), dims[0], 7, 4, eps, norm_first=False)])
        for before, dim in pairwise(dims):
            self.embeds.append(PatchEmbed(before, dim, kernel, 2, eps, norm_first=True))
        kinds = config.get("attention_types", ("spatial", "channel"))
        rates = drop_path_rates(config.get("drop_path_rate_train") or 0.0, [len(kinds) * depth for depth in depths])
        self.stages = nn.ModuleList()
        for stage, (dim, heads) in enumerate(zip(dims, config["num_heads"], strict=True)):
            blocks = [
                _block(config, kinds[i % len(kinds)], dim, heads, eps, rate) for i, rate in enumerate(rates[stage])
            ]
            units = [nn.Sequential(*blocks[i : i + len(kinds)]) for i in range(0, len(blocks), len(kinds))]
            self.stages.append(nn.Sequential(*units))
        self.norm = nn.LayerNorm(dims[-1], eps)
        classes = config.get("num_classes", 1000)
        self.head = nn.Linear(dims[-1], classes) if classes else nn.Identity()
        self.apply(linear_layers)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map (B, C, H, W) that each stage gives for pictures (B, 3, H, W); none is normalised."""
        x = channels_last(x).permute(0, 2, 3, 1)
        maps = []
        for embed, stage in zip(self.embeds, self.stages, strict=True):
            x = stage(embed(x))
            maps.append(x.permute(0, 3, 1, 2))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        x = channels_last(x).permute(0, 2, 3, 1)
        for embed, stage in zip(self.embeds, self.stages, strict=True):
            x = stage(embed(x))
        return self.head(self.norm(x.mean((1, 2))))


def _block(config: Mapping[str, Any], kind: str, dim: int, heads: int, eps: float, drop_path: float) -> Block:
    bias = config.get("qkv_bias", True)
    if kind == "spatial":
        attention: nn.Module = WindowAttention(dim, heads, config.get("window_size", 7), bias)
    elif kind == "channel":
        attention = ChannelAttention(dim, heads, bias)
    else:
        raise ValueError(f"davit: attention_types are 'spatial' and 'channel', got {kind!r}")
    ratio = config.get("mlp_ratio", 4.0) if config.get("ffn", True) else 0.0
    return Block(attention, dim, ratio, eps, drop_path, config.get("cpe_act", False))


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"davit has the form 'model' only, not {form!r}")
    return DaViT(config)
