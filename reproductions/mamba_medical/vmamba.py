"""VMamba: a hierarchical backbone of SS2D blocks, in its first form (vanilla) and in that of February 2024.

Liu et al., "VMamba: Visual State Space Model", NeurIPS 2024, arXiv 2401.10166.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.inference import by_pieces
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import add_feed_forward, channels_last, drop_path_rates
from claimbench.reproductions.mamba_medical.ss2d import DIRECTIONS, SS2D

__all__ = ["PatchEmbed", "PatchMerging", "VMamba", "VSSBlock"]


class VSSBlock(nn.Module):
    """x + ss2d(norm(x)), then x + mlp(norm(x)) if there is an MLP, for maps (B, H, W, C).

    Args:
        dim: C.
        drop_path: the rate of stochastic depth.
        mlp_ratio: the expansion of the MLP; 0 for none.
        ss2d: the other arguments of :class:`SS2D`.
    """

    def __init__(self, dim: int, drop_path: float = 0.0, mlp_ratio: float = 0.0, **ss2d: Any) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.op = SS2D(dim, **ss2d)
        self.drop_path = DropPath(drop_path)
        if mlp_ratio:
            self.norm2 = nn.LayerNorm(dim)
            self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.has_mlp = bool(mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = x + self.drop_path(self.op(self.norm(x)))
        return add_feed_forward(x, self.norm2, self.mlp, self.drop_path) if self.has_mlp else x


class PatchEmbed(nn.Module):
    """Pictures (B, C, H, W) to maps (B, H', W', dim), a LayerNorm behind each convolution.

    Args:
        channels: C.
        dim: the channels of the map.
        overlapped: whether two 3x3 convolutions of stride 2 with GELU between them take the place of one 4x4
            convolution of stride 4.
    """

    def __init__(self, channels: int, dim: int, overlapped: bool) -> None:
        super().__init__()
        if overlapped:
            self.first = nn.Conv2d(channels, dim // 2, 3, 2, 1)
            self.first_norm = nn.LayerNorm(dim // 2)
        self.overlapped = overlapped
        self.conv = nn.Conv2d(dim // 2, dim, 3, 2, 1) if overlapped else nn.Conv2d(channels, dim, 4, 4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, C, H, W)."""
        if self.overlapped:
            x = F.gelu(self.first_norm(self.first(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2 and a LayerNorm: (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), out)."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out, 3, 2, 1)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the sides of (B, H, W, C)."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """The channels of 2x2 positions, normed and projected: (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C).

    Odd sides are filled up with zeros.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the sides of (B, H, W, C)."""
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


class VMamba(nn.Module):
    """Four stages of SS2D blocks, a LayerNorm, mean pooling and one linear layer.

    Args:
        depths: the blocks of each stage.
        embed_dim: the channels of the first stage; each stage doubles them.
        d_state, ssm_ratio, conv_bias, gated, scans: of the SS2D operators, see :class:`SS2D`.
        mlp_ratio: the expansion of the MLPs; 0 for none.
        overlapped: whether 3x3 convolutions reduce the maps, in place of whole patches and their merging.
        num_classes: the width of the output.
        in_chans: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
    """

    def __init__(
        self,
        depths: Sequence[int],
        embed_dim: int = 96,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        conv_bias: bool = True,
        gated: bool = True,
        scans: str = "cross2d",
        mlp_ratio: float = 0.0,
        overlapped: bool = False,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        dims = [embed_dim * 2**i for i in range(len(depths))]
        ss2d = {"d_state": d_state, "ratio": ssm_ratio, "conv_bias": conv_bias, "gated": gated, "scans": scans}
        self.patch_embed = PatchEmbed(in_chans, embed_dim, overlapped)
        self.stages = nn.ModuleList(
            nn.Sequential(*(VSSBlock(dim, rate, mlp_ratio, **ss2d) for rate in rates))
            for dim, rates in zip(dims, drop_path_rates(drop_path, depths), strict=True)
        )
        self.downsamples = nn.ModuleList(
            Downsample(dim, 2 * dim) if overlapped else PatchMerging(dim) for dim in dims[:-1]
        )
        self.widest = [int(dim * max(mlp_ratio, DIRECTIONS * ssm_ratio)) for dim in dims]
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], num_classes)
        self.apply(linear_layers)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map (B, C, H, W) that the blocks of each stage give for pictures; none is normalised.

        Raises:
            ValueError: the picture is smaller than a patch.
        """
        if min(x.shape[2:]) < 4:
            raise ValueError(f"VMamba takes pictures of at least 4x4, got {x.shape[2]}x{x.shape[3]}")
        x = self.patch_embed(channels_last(x))
        maps = []
        for stage, downsample, widest in zip(self.stages, (*self.downsamples, None), self.widest, strict=True):
            x = by_pieces(stage, x, widest)
            maps.append(x.permute(0, 3, 1, 2))
            if downsample is not None:
                x = downsample(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, in_chans, H, W)."""
        tokens = self.forward_features(x)[-1].permute(0, 2, 3, 1)
        return self.head(self.norm(tokens).mean((1, 2)))
