"""Small-scale study: Manhattan self-attention, against the same attention without the decay by distance."""

from __future__ import annotations

from torch import Tensor, nn

from claimbench.reproductions.mixers import ChannelsFirst, head_count
from claimbench.reproductions.rmt.attention import ManhattanAttention, Positions

__all__ = ["block", "counterpart"]

_LARGEST_WHOLE = 14
"""Maps with longer sides attend along their axes, as in the paper's first stages."""


class PositionedAttention(nn.Module):
    """Manhattan self-attention with a :class:`Positions` of its own."""

    def __init__(self, dim: int, decomposed: bool) -> None:
        super().__init__()
        heads = head_count(dim)
        self.positions = Positions(dim, heads, first=2, span=4, decomposed=decomposed)
        self.attention = ManhattanAttention(dim, heads)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among the positions of a map (B, H, W, C)."""
        mixed: Tensor = self.attention(x, self.positions(*x.shape[1:3]))
        return mixed


def block(dim: int, size: int) -> nn.Module:
    """Return Manhattan self-attention for (B, dim, size, size) maps."""
    return ChannelsFirst(PositionedAttention(dim, decomposed=size > _LARGEST_WHOLE))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return the same attention, parameter for parameter, without decay by distance."""
    attention = PositionedAttention(dim, decomposed=size > _LARGEST_WHOLE)
    attention.positions.decay.zero_()
    return ChannelsFirst(attention)
