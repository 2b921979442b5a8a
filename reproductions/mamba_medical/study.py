"""Small-scale study: SS2D of VMamba against self-attention over all positions."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.mamba_medical.ss2d import SS2D
from claimbench.reproductions.map_attention import GlobalAttention
from claimbench.reproductions.mixers import ChannelsFirst, head_count

__all__ = ["block", "counterpart"]


def block(dim: int, size: int) -> nn.Module:
    """Return the gated scan in four directions for (B, dim, size, size) maps, with one state a channel as in VMamba."""
    return ChannelsFirst(SS2D(dim, d_state=1))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return self-attention over all positions, with a bias by relative position."""
    return ChannelsFirst(GlobalAttention(dim, head_count(dim), size, qkv_bias=True))
