"""Small-scale study: attention in windows of varied size, against the same windows fixed."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.mixers import head_count
from claimbench.reproductions.vsa.attention import WindowAttention
from claimbench.reproductions.vsa.cells import window_attention

__all__ = ["block", "counterpart"]

_WINDOW = 7


def _attention(dim: int, size: int, fixed: bool) -> WindowAttention:
    return window_attention(dim, dim, head_count(dim), min(_WINDOW, size), fixed)


def block(dim: int, size: int) -> nn.Module:
    """Return attention in windows of 7x7 queries whose keys come from predicted places of (B, dim, size, size) maps."""
    return _attention(dim, size, fixed=False)


def counterpart(dim: int, size: int) -> nn.Module:
    """Return attention in fixed windows, the paper's baseline."""
    return _attention(dim, size, fixed=True)
