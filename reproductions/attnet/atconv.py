"""Attentive convolution (ATConv): a depthwise convolution whose kernel the sample itself generates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.dynamic_depthwise_conv2d import dynamic_depthwise_conv2d
from claimbench.reproductions.inference import is_counted

__all__ = ["ATConv", "attentive_kernel", "pool_bands"]


def pool_bands(x: Tensor, bands: int) -> Tensor:
    """Return the means (B, bands, C) of the positions of (B, H, W, C), in raster order, in ``bands`` bins.

    Bin i of L positions is floor(i L / bands) to ceil((i + 1) L / bands), as in adaptive average pooling. It is a
    horizontal band of the map that may begin and end within a row.
    """
    sequence = x.flatten(1, 2).transpose(1, 2).unsqueeze(2)
    return F.adaptive_avg_pool2d(sequence, (1, bands)).squeeze(2).transpose(1, 2)


def attentive_kernel(
    bands: Tensor, kernel_size: int, weight: Tensor, bias: Tensor | None, inhibition: Tensor, approximate: str = "none"
) -> Tensor:
    """Return kernels (B, C, k, k) with lateral inhibition: K - sigmoid(d) mean(K) for K = weight GELU(bands) + bias.

    Args:
        bands: (B, C, k * k), the mean of each channel in each band.
        kernel_size: k.
        weight, bias: (k * k, k * k) and (k * k,), shared by all channels.
        inhibition: (C,), the d whose sigmoid is the share of its mean that a kernel loses.
        approximate: the form of the GELU, ``none`` or ``tanh``.
    """
    mixed = F.linear(F.gelu(bands, approximate=approximate), weight, bias)
    inhibited = mixed - inhibition.sigmoid()[:, None] * mixed.mean(-1, keepdim=True)
    return inhibited.unflatten(-1, (kernel_size, kernel_size))


class ATConv(nn.Module):
    """project(dynamic_depthwise(value(x), attentive kernel of x)): (B, H, W, C) -> (B, H, W, C).

    The kernel is the same at all positions of a channel and differs between samples and channels. There is no softmax,
    and the cost is linear in H * W.

    Args:
        dim: C.
        kernel_size: k, odd.
        bias: whether the projections have a bias.
        approximate: the form of the GELU, ``none`` or ``tanh``.
    """

    def __init__(self, dim: int, kernel_size: int = 3, bias: bool = True, approximate: str = "none") -> None:
        super().__init__()
        taps = kernel_size**2
        self.kernel_size, self.taps, self.approximate = kernel_size, taps, approximate
        self.project_kernel = nn.Linear(dim, dim, bias=bias)
        self.mix_bands = nn.Linear(taps, taps, bias=bias)
        self.inhibition = nn.Parameter(torch.zeros(dim))
        self.project_value = nn.Linear(dim, dim, bias=bias)
        self.project_out = nn.Linear(dim, dim, bias=bias)

    def bands(self, x: Tensor) -> Tensor:
        """Return the mean (B, C, k * k) of every channel of the projected (B, H, W, C) in each band.

        The paper projects and then averages. Both steps are linear, so averaging first gives the same with k * k
        projected positions in place of H * W. The order is the paper's while its cost is counted.
        """
        if is_counted(x):
            return pool_bands(self.project_kernel(x), self.taps).transpose(1, 2)
        return self.project_kernel(pool_bands(x, self.taps)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, H, W, C) over space."""
        mix = self.mix_bands
        kernel = attentive_kernel(
            self.bands(x), self.kernel_size, mix.weight, mix.bias, self.inhibition, self.approximate
        )
        value = self.project_value(x).permute(0, 3, 1, 2)
        return self.project_out(dynamic_depthwise_conv2d(value, kernel).permute(0, 2, 3, 1))
