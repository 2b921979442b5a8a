"""ViTAEv2's cells with varied-size windows: convolutions beside attention.

Xu et al., "ViTAE", NeurIPS 2021, arXiv 2106.03348, and Zhang et al., arXiv 2202.10108; the attention is VSA's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.inplace import add, gelu
from claimbench.reproductions.layers import DepthwiseConv2d, LayerNorm2d, add_feed_forward
from claimbench.reproductions.vsa.attention import VariedWindowAttention, WindowAttention

CELL_EPS = {"reduction": 1e-5, "normal": 1e-6}
"""The eps of the LayerNorms in each kind of cell, as in the official code."""


def window_attention(dim: int, dim_out: int, num_heads: int, window_size: int, fixed: bool) -> WindowAttention:
    """Return attention in varied-size windows, or in ``fixed`` ones, the paper's baseline."""
    return (WindowAttention if fixed else VariedWindowAttention)(dim, dim_out, num_heads, window_size)


def feed_forward(x: Tensor, norm: nn.LayerNorm, mlp: Mlp, drop_path: nn.Module) -> Tensor:
    """Return x + drop_path(mlp(norm(x))) for a map (B, C, H, W) that the caller has just made."""
    return add_feed_forward(x.permute(0, 2, 3, 1), norm, mlp, drop_path).permute(0, 3, 1, 2)


class ConvBranch(nn.Module):
    """The parallel convolutional module (PCM): three 3x3 convolutions, BatchNorm and SiLU between them.

    Args:
        dims: channels before, between and after the convolutions.
        strides: the stride of each convolution.
        groups: the groups of each convolution.
    """

    def __init__(self, dims: Sequence[int], strides: Sequence[int], groups: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(dim, out, 3, stride, 1, groups=groups)
            for (dim, out), stride in zip(pairwise(dims), strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(dim) for dim in dims[1:-1])
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        for conv, norm in zip(self.convs, self.norms, strict=False):
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            x = self.act(conv_norm(x, conv, norm))
        return self.convs[-1](x)


class PyramidReduction(nn.Module):
    """The pyramid reduction module (PRM): strided convolutions of growing dilation, GELU, side by side.

    Args:
        dim: channels of the input.
        width: output channels of each convolution.
        kernel_size, stride: the side and the stride of the convolutions.
        dilations: the dilation of each convolution.
    """

    def __init__(self, dim: int, width: int, kernel_size: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(dim, width, kernel_size, stride, ceil(((kernel_size - 1) * d + 1 - stride) / 2), d)
            for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, width * dilations, H / stride, W / stride)."""
        return gelu(torch.cat([conv(x) for conv in self.convs], dim=1))


class Attend(nn.Module):
    """Conditional position embedding, LayerNorm and attention; neither embedding nor residual leaves the module."""

    def __init__(self, attention: WindowAttention, dim: int, eps: float, embeds_position: bool) -> None:
        super().__init__()
        self.position = DepthwiseConv2d(dim, 7) if embeds_position else None
        self.norm = LayerNorm2d(dim, eps)
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H, W)."""
        if self.position is not None:
            x = add(self.position(x), x)
        return self.attention(self.norm(x))


class ReductionCell(nn.Module):
    """Attention over the pyramid's map beside convolutions of the input, both at a stride, then an MLP.

    Args:
        dim: channels of the input.
        width: channels of each convolution of the pyramid.
        dim_out: channels of the output.
        stride: 4 or 2.
        kernel_size, dilations: the arguments of the pyramid.
        num_heads, window_size, fixed: the arguments of the attention.
        groups: the groups of the convolutions beside the attention.
        wide: whether these have twice ``dim_out`` channels between them instead of ``width``.
        mlp_ratio: inner width of the MLP over ``dim_out``.
        cpe: whether a 7x7 depthwise convolution embeds positions.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        dim_out: int,
        stride: int,
        kernel_size: int,
        dilations: Sequence[int],
        num_heads: int,
        window_size: int,
        fixed: bool,
        groups: int,
        wide: bool,
        mlp_ratio: float,
        cpe: bool,
    ) -> None:
        super().__init__()
        inner = 2 * dim_out if wide else width
        self.stride = stride
        self.convolve = ConvBranch((dim, inner, inner, dim_out), (2, 2, 1) if stride == 4 else (2, 1, 1), groups)
        self.pyramid = PyramidReduction(dim, width, kernel_size, stride, dilations)
        total, eps = width * len(dilations), CELL_EPS["reduction"]
        attention = window_attention(total, dim_out, num_heads, window_size, fixed)
        self.attend = Attend(attention, total, eps, cpe)
        self.norm = nn.LayerNorm(dim_out, eps)
        self.mlp = Mlp(dim_out, int(dim_out * mlp_ratio))
        self.drop_path = nn.Identity()  # the official reduction cells have no stochastic depth

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        if x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ValueError(
                f"vsa: a {x.shape[2]}x{x.shape[3]} map cannot be reduced by {self.stride}: pad the picture"
            )
        x = add(self.attend(self.pyramid(x)), self.convolve(x))
        return feed_forward(x, self.norm, self.mlp, self.drop_path)


class NormalCell(nn.Module):
    """Residual attention and convolutions side by side, then an MLP.

    Args:
        dim: channels.
        num_heads, window_size, fixed: the arguments of the attention.
        groups: the groups of the convolutions.
        mlp_ratio: inner width over ``dim``, of the MLP and of the convolutions.
        cpe: whether a 7x7 depthwise convolution embeds positions.
        drop_path: rate of stochastic depth, drawn for each of the three branches.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int,
        fixed: bool,
        groups: int,
        mlp_ratio: float,
        cpe: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        hidden, eps = int(dim * mlp_ratio), CELL_EPS["normal"]
        self.attend = Attend(window_attention(dim, dim, num_heads, window_size, fixed), dim, eps, cpe)
        self.convolve = ConvBranch((dim, hidden, dim, dim), (1, 1, 1), groups)
        self.norm = nn.LayerNorm(dim, eps)
        self.mlp = Mlp(dim, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        x = add(add(self.drop_path(self.attend(x)), x), self.drop_path(self.convolve(x)))
        return feed_forward(x, self.norm, self.mlp, self.drop_path)
