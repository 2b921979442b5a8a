"""Attentive convolution (ATConv): a depthwise convolution whose kernel the sample itself generates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import backend

__all__ = ["ATConv", "attentive_kernel", "dynamic_depthwise_conv2d", "pool_bands"]


def pool_bands(x: Tensor, bands: int) -> Tensor:
    """Average the positions of (B, H, W, C), in raster order, in ``bands`` bins: (B, bands, C).

    Bin i of L positions is floor(i L / bands) to ceil((i + 1) L / bands), as in adaptive average pooling: a horizontal
    band of the map, which may begin and end within a row.
    """
    sequence = x.flatten(1, 2).transpose(1, 2).unsqueeze(2)
    return F.adaptive_avg_pool2d(sequence, (1, bands)).squeeze(2).transpose(1, 2)


def attentive_kernel(
    bands: Tensor, weight: Tensor, bias: Tensor | None, inhibition: Tensor, approximate: str = "none"
) -> Tensor:
    """Generate kernels with lateral inhibition: ``K - sigmoid(d) mean(K)``, ``K = weight GELU(bands) + bias``.

    Args:
        bands: (B, C, k * k), what each channel found in each band.
        weight, bias: (k * k, k * k) and (k * k,), shared by all channels.
        inhibition: (C,), the d whose sigmoid says how much of its mean a kernel loses.
        approximate: GELU's, ``none`` or ``tanh``.

    Returns:
        (B, C, k, k).
    """
    mixed = F.linear(F.gelu(bands, approximate=approximate), weight, bias)
    inhibited = mixed - inhibition.sigmoid()[:, None] * mixed.mean(-1, keepdim=True)
    side = round(bands.shape[-1] ** 0.5)
    return inhibited.unflatten(-1, (side, side))


def dynamic_depthwise_conv2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every channel of every sample with a kernel of its own, with zero padding that keeps the size.

    Args:
        x: (B, C, H, W).
        kernel: (B, C, k, k) with odd k.

    Returns:
        (B, C, H, W).
    """
    batch, channels, height, width = x.shape
    groups = batch * channels
    flat = kernel.reshape(groups, 1, *kernel.shape[2:])
    out = F.conv2d(x.reshape(1, groups, height, width), flat, padding=kernel.shape[-1] // 2, groups=groups)
    return out.view(batch, channels, height, width)


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
        self.taps, self.approximate = taps, approximate
        self.project_kernel = nn.Linear(dim, dim, bias=bias)
        self.mix_bands = nn.Linear(taps, taps, bias=bias)
        self.inhibition = nn.Parameter(torch.zeros(dim))
        self.project_value = nn.Linear(dim, dim, bias=bias)
        self.project_out = nn.Linear(dim, dim, bias=bias)

    def bands(self, x: Tensor) -> Tensor:
        """Return what every channel of the projected (B, H, W, C) found in each band: (B, C, k * k).

        The paper projects and then averages. Both are linear, so averaging first gives the same for k * k positions in
        place of H * W; FLOP counters, which trace the reference backend, see the paper's order.
        """
        if backend.override() == "reference":
            return pool_bands(self.project_kernel(x), self.taps).transpose(1, 2)
        return self.project_kernel(pool_bands(x, self.taps)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, H, W, C) over space."""
        kernel = attentive_kernel(
            self.bands(x), self.mix_bands.weight, self.mix_bands.bias, self.inhibition, self.approximate
        )
        value = self.project_value(x).permute(0, 3, 1, 2)
        return self.project_out(dynamic_depthwise_conv2d(value, kernel).permute(0, 2, 3, 1))
