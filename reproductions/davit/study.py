"""Small-scale study: window attention and channel attention in turn, against window attention alone."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.davit.attention import ChannelAttention, WindowAttention
from claimbench.reproductions.mixers import ChannelsFirst, TwoInTurn, head_count

__all__ = ["block", "counterpart"]

_WINDOW = 7


def _spatial(dim: int, size: int) -> nn.Module:
    return ChannelsFirst(WindowAttention(dim, head_count(dim), min(_WINDOW, size), qkv_bias=True))


def block(dim: int, size: int) -> nn.Module:
    """Return attention in windows of 7x7, then among channels, for (B, dim, size, size) maps."""
    return TwoInTurn(dim, _spatial(dim, size), ChannelsFirst(ChannelAttention(dim, head_count(dim), qkv_bias=True)))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return attention in windows twice, of as many parameters."""
    return TwoInTurn(dim, _spatial(dim, size), _spatial(dim, size))
