"""Attentive convolution (ATConv): a depthwise convolution whose kernel the sample itself generates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.dynamic_depthwise_conv2d import dynamic_depthwise_conv2d
from claimbench.reproductions.inference import is_counted

__all__ = ["ATConv", "attentive_kernel", "pool_bands"]


def pool_bands(x: Tensor, bands: int) -> Tensor:
    """Average the positions of (B, H, W, C), in raster order, in ``bands`` bins: (B, bands, C).

    Bin i of L positions is floor(i L / bands) to ceil((i + 1) L / bands), as in adaptive average pooling: a horizontal
    band of the map, which may begin and end within a row.
    """
    sequence = x.flatten(1, 2).transpose(1, 2).unsqueeze(2)
    return F.adaptive_avg_pool2d(sequence, (1, bands)).squeeze(2).transpose(1, 2)


def attentive_kernel(
    bands: Tensor, kernel_size: int, weight: Tensor, bias: Tensor | None, inhibition: Tensor, approximate: str = "none"
) -> Tensor:
    """Generate kernels with lateral inhibition: ``K - sigmoid(d) mean(K)``, ``K = weight GELU(bands) + bias``.

    Args:
        bands: (B, C, k * k), what each channel found in each band.
        kernel_size: k.
        weight, bias: (k * k, k * k) and (k * k,), shared by all channels.
        inhibition: (C,), the d whose sigmoid says how much of its mean a kernel loses.
        approximate: GELU's, ``none`` or ``tanh``.

    Returns:
        (B, C, k, k).
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
        bias: whether the projections have one.
        approximate: GELU's, ``none`` or ``tanh``.
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
        """Return what every channel of the projected (B, H, W, C) found in each band: (B, C, k * k).

        The paper projects and then averages. Both are linear, so averaging first gives the same for k * k positions in
        place of H * W. Where FLOPs are counted (meta tensors, the reference backend) the order is the paper's.
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
