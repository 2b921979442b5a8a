"""Parts of the token mixers of several small-scale studies. A mixer maps (B, C, H, W) to the same shape.

The network around a mixer normalises the input and adds the mixer's output to it. Linear layers keep PyTorch's start,
which depends on their width: the normal of 0.02 of transformers suits hundreds of channels and is too little for 32.
"""

from __future__ import annotations

from torch import Tensor, nn

from claimbench.reproductions.layers import LayerNorm2d

__all__ = ["ChannelsFirst", "TwoInTurn", "head_count"]


def head_count(dim: int, width: int = 16) -> int:
    """Return the largest number of heads of an even number of channels, at least ``width`` if possible, for ``dim``."""
    fitting = [heads for heads in range(1, max(dim // width, 1) + 1) if dim % (2 * heads) == 0]
    return fitting[-1] if fitting else 1


class ChannelsFirst(nn.Module):
    """A mixer of (B, H, W, C) maps as a mixer of (B, C, H, W) maps."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W)."""
        mixed: Tensor = self.mixer(x.permute(0, 2, 3, 1))
        return mixed.permute(0, 3, 1, 2)


class TwoInTurn(nn.Module):
    """Two mixers, each beside a shortcut: with y = first(x), y + second(LN(x + y)); the network adds x.

    It serves papers whose layers take turns, so that one kind is tried beside the other.
    """

    def __init__(self, dim: int, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.second = first, LayerNorm2d(dim), second

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W) twice."""
        mixed: Tensor = self.first(x)
        again: Tensor = self.second(self.norm(x + mixed))
        return mixed + again
