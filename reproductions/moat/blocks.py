"""MOAT's inverted bottleneck and the block that puts attention behind it.

Convolutions and poolings pad as TensorFlow's "SAME" does: at stride 2 an even map is padded at its end only.
"""

from __future__ import annotations

from math import sqrt

import torch
from timm.layers import Conv2dSame, DropPath, SqueezeExcite
from torch import Tensor, nn
from torch.nn import functional as F

from reproductions.layers import DepthwiseConv2d
from reproductions.moat.attention import WindowAttention

__all__ = ["GELU", "Block", "MBConv", "average_pool", "batch_norm"]

# TensorFlow divides by sqrt(2) rounded to float32 in float64 networks too.
_ROUNDING = sqrt(2) / torch.tensor(sqrt(2), dtype=torch.float32).item()


class GELU(nn.Module):
    """TensorFlow's exact GELU: PyTorch's but for float64, where a constant of it has float32's digits only."""

    def forward(self, x: Tensor) -> Tensor:
        """Activate a tensor of any shape."""
        return F.gelu(x * _ROUNDING) / _ROUNDING if x.dtype == torch.float64 else F.gelu(x)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm with the eps and momentum of Keras."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def average_pool(x: Tensor, size: int, stride: int) -> Tensor:
    """Average (B, C, H, W) over size x size windows to (B, C, ceil(H / stride), ceil(W / stride)).

    The padding does not count in the average.
    """
    before = [max(-(-n // stride) * stride - stride + size - n, 0) // 2 for n in x.shape[2:]]
    return F.avg_pool2d(x, size, stride, before, ceil_mode=True, count_include_pad=False)


class MBConv(nn.Module):
    """shortcut(x) + reduce(SE(GELU(BN(depthwise(GELU(BN(expand(BN(x)))))))).

    The shortcut is average pooling at the stride and, where the width changes, a 1x1 convolution. The expansion and
    the width of the squeeze-and-excitation follow the width of the output.

    Args:
        before, dim: the channels of input and output.
        stride: of the depthwise convolution.
        expansion: the inner width over ``dim``.
        se_ratio: the width of the squeeze over ``dim``, or None for no squeeze-and-excitation.
        kernel_size: of the depthwise convolution.
        pool_size: of the shortcut's pooling.
        drop_path: the rate of stochastic depth.
    """

    def __init__(
        self,
        before: int,
        dim: int,
        stride: int,
        expansion: int,
        se_ratio: float | None,
        kernel_size: int,
        pool_size: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        inner = dim * expansion
        self.stride, self.pool_size = stride, pool_size
        self.shortcut = nn.Conv2d(before, dim, 1) if before != dim else nn.Identity()
        self.norm = batch_norm(before)
        self.expand = nn.Conv2d(before, inner, 1, bias=False)
        self.expand_norm = batch_norm(inner)
        self.depthwise = (
            DepthwiseConv2d(inner, kernel_size, bias=False)
            if stride == 1
            else Conv2dSame(inner, inner, kernel_size, stride, groups=inner, bias=False)
        )
        self.depthwise_norm = batch_norm(inner)
        self.excite = (
            nn.Identity()
            if se_ratio is None
            else SqueezeExcite(inner, rd_channels=max(1, int(dim * se_ratio)), act_layer=nn.SiLU)
        )
        self.reduce = nn.Conv2d(inner, dim, 1)
        self.activate = GELU()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, dim, ceil(H / stride), ceil(W / stride))."""
        shortcut = self.shortcut(average_pool(x, self.pool_size, self.stride) if self.stride > 1 else x)
        inner = self.activate(self.expand_norm(self.expand(self.norm(x))))
        inner = self.activate(self.depthwise_norm(self.depthwise(inner)))
        return shortcut + self.drop_path(self.reduce(self.excite(inner)))


class Block(nn.Module):
    """An MBConv and, in a MOAT block, x + attention(x) behind it; there is no MLP (section 3.2)."""

    def __init__(self, mbconv: MBConv, attention: WindowAttention | None, drop_path: float) -> None:
        super().__init__()
        self.mbconv = mbconv
        self.attention = attention
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, dim, ceil(H / stride), ceil(W / stride))."""
        x = self.mbconv(x)
        return x if self.attention is None else x + self.drop_path(self.attention(x))
