"""Small-scale study: neighbourhood attention and its dilated form in turn, against undilated layers only."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.map_attention import NeighborhoodAttention
from claimbench.reproductions.mixers import ChannelsFirst, TwoInTurn, head_count

__all__ = ["block", "counterpart"]

_KERNEL = 3
"""Smaller than the paper's 7, which would reach across the smallest maps without any dilation."""


def _layers(dim: int, *dilations: int) -> nn.Module:
    first, second = (NeighborhoodAttention(dim, head_count(dim), _KERNEL, d, qkv_bias=True) for d in dilations)
    return TwoInTurn(dim, ChannelsFirst(first), ChannelsFirst(second))


def block(dim: int, size: int) -> nn.Module:
    """Return an undilated and a dilated layer for (B, dim, size, size) maps; the dilation is the largest that fits."""
    return _layers(dim, 1, max(size // _KERNEL, 1))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return two undilated layers."""
    return _layers(dim, 1, 1)
