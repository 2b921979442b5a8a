"""Small-scale study: a small DHVT, against a DeiT of as many parameters."""

from __future__ import annotations

import torch
from timm.layers import Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import parameters
from claimbench.reproductions.dhvt.model import DHVT, Block, Grid
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, same_size, started_by_width

__all__ = ["network"]

_DIM = 64
_HEADS = 4
_DEPTH = 3
_PATCHES = (2, 4, 16)


class PatchEmbed(nn.Module):
    """Patches that do not overlap, with a learned position embedding: (B, channels, H, W) to (B, dim, h, w)."""

    def __init__(self, channels: int, dim: int, patch: int, along: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, dim, patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, dim, along, along))
        trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Embed pictures."""
        return self.project(x) + self.position


class FeedForward(nn.Module):
    """The plain MLP, on class token and patches alike."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Map (B, 1 + N, C) to (B, 1 + N, C)."""
        mixed: Tensor = self.mlp(x)
        return mixed


def _dhvt(channels: int, patch: int, classes: int) -> DHVT:
    return DHVT(_DIM, _DEPTH, _HEADS, patch, num_classes=classes, in_channels=channels)


def _deit(channels: int, patch: int, along: int, classes: int, hidden: int) -> DHVT:
    """Return a DHVT whose three novelties are replaced by the parts of a DeiT."""
    model = _dhvt(channels, patch, classes)
    embed = PatchEmbed(channels, _DIM, patch, along)
    model.embed = embed  # type: ignore[assignment]
    for block in model.blocks:
        assert isinstance(block, Block)
        block.attention = SelfAttention(_DIM, _HEADS, qkv_bias=True)  # type: ignore[assignment]
        block.feed_forward = FeedForward(_DIM, hidden)  # type: ignore[assignment]
    return model


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` is a DHVT; ``counterpart`` a DeiT: patches that do not overlap and a position embedding,
            attention without head tokens, and MLPs so wide that there are as many parameters.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    wanted, _ = patch_grid(size)
    patch = min(_PATCHES, key=lambda side: abs(side - wanted))
    along = -(-size // patch)
    model = _dhvt(channels, patch, classes)
    if arm == "counterpart":
        model = same_size(lambda hidden: _deit(channels, patch, along, classes, hidden), parameters(model))
    return on_whole_patches(started_by_width(model), size, patch * along)
