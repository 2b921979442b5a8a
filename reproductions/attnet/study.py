"""Small-scale study: attentive convolution with 3x3 kernels, against self-attention among all positions."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.attnet.atconv import ATConv
from claimbench.reproductions.map_attention import GlobalAttention
from claimbench.reproductions.mixers import ChannelsFirst, head_count

__all__ = ["block", "counterpart"]


def block(dim: int, size: int) -> nn.Module:
    """Return ATConv for (B, dim, size, size) maps."""
    return ChannelsFirst(ATConv(dim, kernel_size=3))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return multi-head self-attention with a learned bias for each relative position."""
    return ChannelsFirst(GlobalAttention(dim, head_count(dim), size, qkv_bias=True))
