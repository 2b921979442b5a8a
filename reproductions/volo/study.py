"""Small-scale study: outlook attention, against self-attention of the same reach."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.map_attention import NeighborhoodAttention
from claimbench.reproductions.mixers import ChannelsFirst, head_count
from claimbench.reproductions.volo.outlook import OutlookAttention

__all__ = ["block", "counterpart"]

_KERNEL = 3
_HEAD = 32


def block(dim: int, size: int) -> nn.Module:
    """Return outlook attention in 3x3 windows, one for every second position of (B, dim, size, size) maps."""
    return ChannelsFirst(OutlookAttention(dim, head_count(dim, _HEAD), _KERNEL, stride=2, padding=1, qkv_bias=False))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return self-attention of every position to the 3x3 window around it."""
    return ChannelsFirst(NeighborhoodAttention(dim, head_count(dim, _HEAD), _KERNEL, dilation=1, qkv_bias=False))
