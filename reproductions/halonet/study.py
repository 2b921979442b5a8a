"""Small-scale study: halo attention in a bottleneck, against the 3x3 convolution that it replaces."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.halonet.attention import HaloAttention
from claimbench.reproductions.halonet.blocks import ConvMixer, ConvNorm, HaloMixer
from claimbench.reproductions.mixers import head_count

__all__ = ["block", "counterpart"]

_BLOCK = 8
_HALO = 3
_ACT = "relu"


class WholeBlocks(nn.Module):
    """A mixer on a map that zeros at the right and the bottom complete to whole blocks; the result is cut to size."""

    def __init__(self, mixer: nn.Module, block: int) -> None:
        super().__init__()
        self.mixer, self.block = mixer, block

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W)."""
        height, width = x.shape[2:]
        mixed: Tensor = self.mixer(F.pad(x, (0, -width % self.block, 0, -height % self.block)))
        return mixed[:, :, :height, :width]


def _bottleneck(dim: int, mixer: nn.Module) -> nn.Module:
    return nn.Sequential(ConvNorm(dim, dim // 2, 1, _ACT), mixer, ConvNorm(dim // 2, dim, 1))


def block(dim: int, size: int) -> nn.Module:
    """Return the bottleneck around halo attention for (B, dim, size, size) maps, in blocks of at most 8x8."""
    side = -(-size // -(-size // _BLOCK))
    hidden = dim // 2
    mixer = HaloMixer(HaloAttention(hidden, hidden, head_count(hidden), side, _HALO), hidden, _ACT)
    return _bottleneck(dim, WholeBlocks(mixer, side))


def counterpart(dim: int, size: int) -> nn.Module:
    """Return the bottleneck of a ResNet."""
    return _bottleneck(dim, ConvMixer(dim // 2, _ACT, stride=1, groups=1, channel_attention=""))
