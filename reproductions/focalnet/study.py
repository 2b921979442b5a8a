"""Small-scale study: focal modulation, against self-attention in a sliding window of 7x7."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.focalnet.model import FocalModulation
from claimbench.reproductions.map_attention import NeighborhoodAttention
from claimbench.reproductions.mixers import ChannelsFirst, head_count

__all__ = ["block", "counterpart"]

_LEVELS = 3
_WINDOW = 7


def block(dim: int, size: int) -> nn.Module:
    """Return focal modulation with kernels 3, 5 and 7, as in the LRF models, for (B, dim, size, size) maps."""
    return ChannelsFirst(FocalModulation(dim, 3, _LEVELS, factor=2, normalize=False, post_norm=False))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return self-attention of every position to the 7x7 window around it, or to the largest that fits."""
    window = min(_WINDOW, size - (size + 1) % 2)
    return ChannelsFirst(NeighborhoodAttention(dim, head_count(dim), window, dilation=1, qkv_bias=True))
