"""Small-scale study: ContMix as a token mixer, against kernels of the same sizes that do not depend on the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from claimbench.reproductions.layers import DepthwiseConv2d
from claimbench.reproductions.overlock.contmix import ContMix
from claimbench.reproductions.overlock.model import initialise

__all__ = ["block", "counterpart"]

_SMALL = 5


class StaticMixing(nn.Module):
    """Context mixing without contexts: a learned depthwise kernel for each half of the channels."""

    def __init__(self, dim: int, kernel_sizes: tuple[int, int], value: nn.Module) -> None:
        super().__init__()
        self.value = value
        self.kernels = nn.ModuleList(DepthwiseConv2d(dim // 2, size) for size in kernel_sizes)

    def forward(self, value: Tensor, features: Tensor, context: Tensor) -> Tensor:
        """Mix ``value`` (B, C, H, W); the other maps are not used."""
        halves = self.value(value).chunk(2, dim=1)
        return torch.cat([kernel(half) for kernel, half in zip(self.kernels, halves, strict=True)], dim=1)


class SelfGuided(nn.Module):
    """ContMix whose context is the map itself, as in the plug-in block that the authors publish for other networks."""

    def __init__(self, contmix: ContMix) -> None:
        super().__init__()
        self.contmix = contmix.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        mixed: Tensor = self.contmix(x, x, x)
        return mixed


def _contmix(dim: int, size: int) -> ContMix:
    """Return ContMix with kernels of 9, or of the largest size that fits; its large kernel is one convolution."""
    kernel = min(9, max(_SMALL, size - (size + 1) % 2))
    heads = max(h for h in range(1, max(dim // 16, 1) + 1) if dim % (4 * h) == 0)
    return ContMix(dim, dim, dim, kernel, _SMALL, heads, merged=True, own_value=True)


def block(dim: int, size: int) -> nn.Module:
    """Return ContMix for (B, dim, size, size) maps; ``dim`` is a multiple of 4."""
    contmix = _contmix(dim, size)
    for bias in contmix.mixing.position_bias:
        nn.init.trunc_normal_(bias, std=0.02)
    return SelfGuided(contmix)


def counterpart(dim: int, size: int) -> nn.Module:
    """Return the same module with static kernels in place of those from context."""
    contmix = _contmix(dim, size)
    mixing = contmix.mixing
    contmix.mixing = StaticMixing(dim, mixing.kernel_sizes, mixing.value)  # type: ignore[assignment]
    return SelfGuided(contmix)
