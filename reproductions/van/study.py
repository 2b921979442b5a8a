"""Small-scale study: large kernel attention, against the same convolutions added to the features instead of gating."""

from __future__ import annotations

from torch import Tensor, nn

from claimbench.reproductions.initialise import by_fan_out
from claimbench.reproductions.van.model import Attention, LargeKernelAttention

__all__ = ["block", "counterpart"]


class LargeKernelSum(LargeKernelAttention):
    """u + pointwise(dilated(local(u))): the product of large kernel attention replaced by a sum."""

    def forward(self, u: Tensor) -> Tensor:
        """Add to (B, C, H, W) its large-kernel convolution."""
        return u + self.pointwise(self.dilated(self.local(u)))


def block(dim: int, size: int) -> nn.Module:
    """Return VAN's attention module for (B, dim, size, size) maps."""
    return Attention(dim).apply(by_fan_out)


def counterpart(dim: int, size: int) -> nn.Module:
    """Return the same module, parameter for parameter, with a sum for the product."""
    mixer = Attention(dim)
    mixer.lka = LargeKernelSum(dim)
    return mixer.apply(by_fan_out)
