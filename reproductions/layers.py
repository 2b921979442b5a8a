"""Layers that several papers share: ordinary PyTorch parameters over the operators of :mod:`kernels`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.depthwise_conv2d import depthwise_conv2d
from kernels.layer_norm_2d import layer_norm_2d

__all__ = [
    "ConvNorm2d",
    "DepthwiseConv2d",
    "LayerNorm2d",
    "channels_last",
    "drop_path_rates",
    "fold_batch_norm",
]


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
        return self.convolve(input, self.weight)

    def convolve(self, input: Tensor, weight: Tensor) -> Tensor:
        """Convolve (B, C, H, W) with ``weight`` in place of the layer's own."""
        return depthwise_conv2d(input, weight, self.bias, int(self.dilation[0]))


def fold_batch_norm(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight and the bias of a layer that does in one what it and the BatchNorm after it do in evaluation.

    Args:
        weight: of a convolution or a linear layer, (C_out, ...).
        bias: (C_out,) or None.
        norm: an affine BatchNorm of C_out channels.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias + scale * ((0 if bias is None else bias) - norm.running_mean)
    return weight * scale.view(-1, *(1,) * (weight.dim() - 1)), shift


class ConvNorm2d(nn.Module):
    """Convolution, then BatchNorm: (B, C_in, H, W) to (B, C_out, H', W'); one convolution in evaluation.

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the odd side of the square kernel; the padding is half of it.
        stride: H' is H over the stride, rounded up.
        bias: whether the convolution has a bias of its own.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        if self.training:
            return self.norm(self.conv(x))
        weight, bias = fold_batch_norm(self.conv.weight, self.conv.bias, self.norm)
        # oneDNN picks its channels-last kernels by the layout of the weight too.
        return F.conv2d(x, channels_last(weight), bias, self.conv.stride, self.conv.padding)


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


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Return the rate of every block, stage by stage: it rises linearly from 0 to ``rate`` over all blocks."""
    last = max(sum(depths) - 1, 1)
    rates = iter(rate * i / last for i in range(sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]
