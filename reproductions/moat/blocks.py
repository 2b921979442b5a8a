"""MOAT's inverted bottleneck and the block that puts attention behind it.

Convolutions and poolings pad as TensorFlow's "SAME" does: at stride 2 an even map is padded at its end only.
"""

from __future__ import annotations

from math import sqrt

import torch
from timm.layers import DropPath, SqueezeExcite
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions import inplace
from claimbench.reproductions.folding import conv_norm, fold_after, fold_before, is_affine
from claimbench.reproductions.inference import by_pieces, pointwise
from claimbench.reproductions.layers import DepthwiseConv2d
from claimbench.reproductions.moat.attention import WindowAttention

__all__ = ["GELU", "Block", "MBConv", "SameConv2d", "average_pool", "batch_norm"]

# TensorFlow divides by sqrt(2) rounded to float32 in float64 networks too.
_ROUNDING = sqrt(2) / torch.tensor(sqrt(2), dtype=torch.float32).item()


class GELU(nn.Module):
    """TensorFlow's exact GELU, whose constant has float32's digits in float64 too; otherwise it is PyTorch's."""

    def forward(self, fresh: Tensor) -> Tensor:
        """Activate a tensor of any shape, in its memory if no gradient needs it; the caller owns ``fresh``."""
        return F.gelu(fresh * _ROUNDING) / _ROUNDING if fresh.dtype == torch.float64 else inplace.gelu(fresh)


class SameConv2d(nn.Conv2d):
    """A convolution (B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride)) with TensorFlow's "SAME" padding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        spans = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, s, k in zip(input.shape[2:], self.stride, self.kernel_size, strict=True)
        ]
        if any(span % 2 for span in spans):
            down, across = spans
            input = F.pad(input, (across // 2, across - across // 2, down // 2, down - down // 2))
            spans = [0, 0]
        return F.conv2d(input, weight, bias, self.stride, [span // 2 for span in spans], groups=self.groups)


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

    The shortcut is average pooling at the stride and, if the width changes, a 1x1 convolution. The expansion and
    the width of the squeeze-and-excitation follow the width of the output.

    Args:
        before, dim: the channels of input and output.
        stride: the stride of the depthwise convolution.
        expansion: the inner width over ``dim``.
        se_ratio: the width of the squeeze over ``dim``, or None for no squeeze-and-excitation.
        kernel_size: the side of the depthwise kernel.
        pool_size: the side of the shortcut's pooling.
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
            else SameConv2d(inner, inner, kernel_size, stride, groups=inner, bias=False)
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
        """Map (B, before, H, W) to (B, dim, ceil(H / stride), ceil(W / stride))."""
        shortcut = self.shortcut(average_pool(x, self.pool_size, self.stride) if self.stride > 1 else x)
        inner = self.activate(self.widen(x))
        inner = self.activate(conv_norm(inner, self.depthwise, self.depthwise_norm))
        return inplace.add(self.drop_path(self.reduce(self.excite(inner))), shortcut)

    def widen(self, x: Tensor) -> Tensor:
        """Return BN(expand(BN(x))), (B, before, H, W) to (B, inner, H, W), in evaluation as one product."""
        if not is_affine(x, self.norm, self.expand_norm):
            return self.expand_norm(self.expand(self.norm(x)))
        return pointwise(x, *fold_after(*fold_before(self.expand.weight, None, self.norm), self.expand_norm))


class Block(nn.Module):
    """An MBConv and, in a MOAT block, x + attention(x) behind it; there is no MLP (section 3.2)."""

    def __init__(self, mbconv: MBConv, attention: WindowAttention | None, drop_path: float) -> None:
        super().__init__()
        self.mbconv = mbconv
        self.attention = attention
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, dim, ceil(H / stride), ceil(W / stride))."""
        x = by_pieces(self.mbconv, x, self.mbconv.expand.out_channels)
        return x if self.attention is None else x + self.drop_path(self.attention(x))
