"""Layers that several papers share: ordinary PyTorch parameters over the operators of :mod:`kernels`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from claimbench.kernels.depthwise_conv2d import depthwise_conv2d
from claimbench.kernels.layer_norm_2d import layer_norm_2d
from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.inference import is_counted, is_plain_inference
from claimbench.reproductions.inplace import add

__all__ = [
    "ConvNorm2d",
    "DepthwiseConv2d",
    "LayerNorm2d",
    "ResidualDepthwiseConv2d",
    "add_feed_forward",
    "channels_last",
    "drop_path_rates",
    "only_result_counts",
]

_PIECE_BYTES = 12 << 20
"""The bytes of an MLP's hidden layer that are computed at a time; larger pieces leave the processor's cache."""


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution (B, C, H, W) -> (B, C, H, W) of an odd kernel, stride 1, zero padding.

    Args:
        channels: C.
        kernel_size: the odd side of the square kernel.
        dilation: the distance between two taps.
        bias: whether a bias is added.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1, bias: bool = True) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(
            channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W); the memory format stays."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return depthwise_conv2d(input, weight, bias, int(self.dilation[0]))


class ResidualDepthwiseConv2d(DepthwiseConv2d):
    """x + depthwise(x) for maps (B, C, H, W): one convolution whose centre tap is larger by one."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W) and add the input."""
        if input.dtype.itemsize < 4:  # the sum of one and a small tap would round the tap away
            return add(super().forward(input), input)
        one = F.pad(self.weight.new_ones(1, 1, 1, 1), (self.kernel_size[0] // 2,) * 4)
        return self._conv_forward(input, self.weight + one, self.bias)


class ConvNorm2d(nn.Module):
    """Convolution, then BatchNorm: (B, C_in, H, W) to (B, C_out, H', W'), one convolution in evaluation.

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the odd side of the square kernel; zero padding keeps the size of the map at stride 1.
        stride: H' is H over the stride, rounded up.
        dilation: the distance between two taps.
        bias: whether the convolution has a bias of its own.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        return conv_norm(x, self.conv, self.norm)


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a (B, C, H, W) map.

    Args:
        channels: C.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W) at each position."""
        return layer_norm_2d(input, self.weight, self.bias, self.eps)


def channels_last(x: Tensor) -> Tensor:
    """Return the (B, C, H, W) map in channels-last memory, the layout the models run in."""
    return x.contiguous(memory_format=torch.channels_last)


def only_result_counts(x: Tensor, module: nn.Module) -> bool:
    """Return whether ``module`` may reach its result for ``x`` by another way than its definition.

    It may not in training, while gradients are recorded, and while the cost of the definition is counted.
    """
    return not (is_counted(x) or module.training or torch.is_grad_enabled())


def add_feed_forward(x: Tensor, norm: nn.Module, mlp: Mlp, drop_path: nn.Module) -> Tensor:
    """Return x + drop_path(mlp(norm(x))), the second half of a pre-norm transformer block.

    In inference on a CPU the tokens go through in pieces and the sum replaces ``x``. The hidden layer then stays in the
    cache; a whole one would cost as much to write and read as to compute.

    Args:
        x: (..., C), made by the caller for this call alone.
        norm: over the last axis.
        mlp: a linear layer, GELU in either of its forms, and another linear layer.
        drop_path: stochastic depth.
    """
    if mlp.training or not is_plain_inference(x):
        return x + drop_path(mlp(norm(x)))
    tokens = x.reshape(-1, x.shape[-1])
    hidden = len(mlp.fc1.weight) * x.itemsize
    for piece in tokens.tensor_split(max(1, -(-len(tokens) * hidden // _PIECE_BYTES))):
        piece += mlp.fc2(torch.ops.aten.gelu_(mlp.fc1(norm(piece)), approximate=mlp.act.approximate))
    return tokens.view(x.shape)


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Return the rate of every block, stage by stage: it rises linearly from 0 to ``rate`` over all blocks."""
    last = max(sum(depths) - 1, 1)
    rates = iter(rate * i / last for i in range(sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]
