"""NAT, DiNAT, DiNAT_s and their isotropic variants: blocks of neighbourhood attention and MLP on (B, H, W, C) maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import channels_last, drop_path_rates
from claimbench.reproductions.map_attention import GridAttention, NeighborhoodAttention


class ConvTokenizer(nn.Module):
    """Two 3x3 convolutions at stride 2, then LayerNorm: (B, 3, H, W) to (B, ceil(H / 4), ceil(W / 4), C)."""

    def __init__(self, in_chans: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, dim // 2, 3, stride=2, padding=1), nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of tokens."""
        return self.norm(self.proj(channels_last(x)).permute(0, 2, 3, 1))


class PatchEmbed(nn.Module):
    """Patches that do not overlap, then LayerNorm; zeros complete the picture to whole patches."""

    def __init__(self, in_chans: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of tokens."""
        patch = self.proj.stride[0]
        x = F.pad(channels_last(x), (0, -x.shape[3] % patch, 0, -x.shape[2] % patch))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class ConvDownsampler(nn.Module):
    """A 3x3 convolution at stride 2 to twice the channels, then LayerNorm; odd sizes are rounded up."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2 C)."""
        return self.norm(self.reduction(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """LayerNorm over the channels of every 2x2 patch, then a linear layer to twice the channels; odd sizes padded."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        patches = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, H / 2, row, W / 2, column, C)
        return self.reduction(self.norm(patches.permute(0, 1, 3, 4, 2, 5).flatten(3)))


class Block(nn.Module):
    """Pre-norm residual block: attention, then an MLP, each scaled by a learned vector if ``layer_scale`` is given.

    Args:
        dim: channels C.
        attention: maps (B, H, W, C) to the same shape.
        mlp_ratio: hidden over outer channels of the MLP.
        drop_path: probability of leaving a branch out in training.
        layer_scale: the start of the scales; None for no scales.
    """

    def __init__(
        self, dim: int, attention: nn.Module, mlp_ratio: float, drop_path: float, layer_scale: float | None
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.scaled = layer_scale is not None
        if layer_scale is not None:
            self.gamma1 = nn.Parameter(torch.full((dim,), layer_scale))
            self.gamma2 = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        branch = self.attn(self.norm1(x))
        x = x + self.drop_path(self.gamma1 * branch if self.scaled else branch)
        branch = self.mlp(self.norm2(x))
        return x + self.drop_path(self.gamma2 * branch if self.scaled else branch)


class Level(nn.Module):
    """Blocks at one resolution, then the reduction to the next one; the last level has none."""

    def __init__(self, blocks: Sequence[Block], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = nn.Identity() if downsample is None else downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return the map that enters the next level."""
        return self.downsample(self.blocks(x))


class DiNAT(nn.Module):
    """The network: (B, 3, H, W) to logits (B, num_classes).

    Args:
        embed: pictures to the first map of tokens (B, h, w, C).
        levels: one or more.
        dim: channels of the last map.
        num_classes: width of the head; 0 for none.
        grid: the only h = w that the model takes; None if any size is welcome.
    """

    def __init__(
        self, embed: nn.Module, levels: Sequence[Level], dim: int, num_classes: int, grid: int | None = None
    ) -> None:
        super().__init__()
        self.patch_embed = embed
        self.levels = nn.ModuleList(levels)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()
        self.grid = grid
        self.apply(linear_layers)

    def embed(self, x: Tensor) -> Tensor:
        """Return the map that enters the first level.

        Raises:
            ValueError: an isotropic model gets another number of patches than it was built for.
        """
        x = self.patch_embed(x)
        if self.grid is None:
            return x
        if x.shape[1] * x.shape[2] != self.grid**2:
            raise ValueError(
                f"this model takes {self.grid}x{self.grid} patches, got {x.shape[1]}x{x.shape[2]}: build it with "
                "img_size set"
            )
        # The official code reads any other shape of as many patches as this grid.
        return x.reshape(len(x), self.grid, self.grid, -1)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map of every level, (B, C, h, w), before it is reduced for the next level."""
        x, maps = self.embed(x), []
        for level in self.levels:
            assert isinstance(level, Level)
            x = level.blocks(x)
            maps.append(x.permute(0, 3, 1, 2))
            x = level.downsample(x)
        return maps

    def pool(self, x: Tensor) -> Tensor:
        """Return the mean (B, C) over the positions of the normed last map (B, h, w, C)."""
        return self.norm(x).mean((1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) of pictures (B, 3, H, W)."""
        x = self.embed(x)
        for level in self.levels:
            x = level(x)
        return self.head(self.pool(x))


def _hierarchy(config: Mapping[str, Any]) -> DiNAT:
    """Return NAT or DiNAT, with convolutions between levels, or DiNAT_s, with Swin's patches and merging."""
    like_swin = config["family"] == "DiNAT_s"
    in_chans, dims = config.get("in_chans", 3), [config["embed_dim"] * 2**i for i in range(len(config["depths"]))]
    dilations = config.get("dilations") or [[1] * depth for depth in config["depths"]]
    levels = []
    for i, rates in enumerate(drop_path_rates(config.get("drop_path_rate_train") or 0.0, config["depths"])):
        blocks = [
            Block(
                dims[i],
                NeighborhoodAttention(
                    dims[i], config["num_heads"][i], config["kernel_size"], dilation, config.get("qkv_bias", True)
                ),
                config["mlp_ratio"],
                rate,
                config.get("layer_scale_init"),
            )
            for rate, dilation in zip(rates, dilations[i], strict=True)
        ]
        down = PatchMerging if like_swin else ConvDownsampler
        levels.append(Level(blocks, down(dims[i]) if i + 1 < len(dims) else None))
    embed = PatchEmbed(in_chans, dims[0], 4) if like_swin else ConvTokenizer(in_chans, dims[0])
    return DiNAT(embed, levels, dims[-1], config.get("num_classes", 1000))


def _isotropic(config: Mapping[str, Any]) -> DiNAT:
    """Return a model of one level: every second layer is dilated; without a kernel size attention is global."""
    dim, heads, patch = config["embed_dim"], config["num_heads"], config.get("patch_size", 16)
    kernel, bias = config.get("kernel_size"), config.get("qkv_bias", True)
    grid = config.get("img_size", 224) // patch
    (rates,) = drop_path_rates(config.get("drop_path_rate_train") or 0.0, [config["depth"]])
    blocks = []
    for i, rate in enumerate(rates):
        attention: nn.Module
        if kernel is None:
            attention = GridAttention(dim, heads, grid, bias)
        else:
            attention = NeighborhoodAttention(dim, heads, kernel, config["dilation"] if i % 2 else 1, bias)
        blocks.append(Block(dim, attention, config["mlp_ratio"], rate, None))
    embed = PatchEmbed(config.get("in_chans", 3), dim, patch)
    return DiNAT(embed, [Level(blocks, None)], dim, config.get("num_classes", 1000), grid)


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"dinat has the form 'model' only, not {form!r}")
    return _isotropic(config) if config["family"] == "isotropic" else _hierarchy(config)
