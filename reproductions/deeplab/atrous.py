"""Two forms that atrous convolution is equal to, and its field of view (section 3.1).

The model uses torch's own atrous convolution, ``Conv2d(..., dilation=rate)``. The forms here define it, for tests and
for the experiments behind the claims.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["by_phases", "gradient_span", "span", "with_holes_as_zeros"]


def span(kernel: int, rate: int) -> int:
    """Return the side, in pixels, that a kernel x kernel filter covers at a rate: k + (k - 1)(r - 1)."""
    return kernel + (kernel - 1) * (rate - 1)


def with_holes_as_zeros(x: Tensor, weight: Tensor, rate: int, padding: int) -> Tensor:
    """Convolve (B, C, H, W) with the dense kernel that has zeros in the holes of ``weight`` (O, C, k, k)."""
    kernel = weight.shape[-1]
    dense = weight.new_zeros(*weight.shape[:2], span(kernel, rate), span(kernel, rate))
    dense[..., ::rate, ::rate] = weight
    return F.conv2d(x, dense, padding=padding)


def by_phases(x: Tensor, weight: Tensor, rate: int, padding: int) -> Tensor:
    """Convolve each of the rate x rate sub-maps of every rate-th pixel without holes, and interleave the results."""
    x = F.pad(x, (padding,) * 4)
    reach = span(weight.shape[-1], rate) - 1
    out = x.new_empty(x.shape[0], weight.shape[0], x.shape[2] - reach, x.shape[3] - reach)
    for row in range(min(rate, out.shape[2])):
        for column in range(min(rate, out.shape[3])):
            phase = F.conv2d(x[..., row::rate, column::rate], weight)
            to = out[..., row::rate, column::rate]
            to.copy_(phase[..., : to.shape[2], : to.shape[3]])
    return out


def gradient_span(layer: torch.nn.Module, channels: int, size: int) -> int:
    """Return the side, in pixels, of the part of a (1, channels, size, size) map that the middle output depends on."""
    x = torch.ones(1, channels, size, size, requires_grad=True)
    out = layer(x)
    out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    return int(rows.max() - rows.min()) + 1
