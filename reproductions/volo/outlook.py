"""Outlook attention, section 3.1 of the paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def outlook(weights: Tensor, value: Tensor, kernel_size: int, stride: int, padding: int) -> Tensor:
    """Mix every k x k window of ``value`` by its own k^2 x k^2 matrix and add the overlapping windows up again.

        fold(weights @ unfold(value))

    Args:
        weights: (B, h, w, heads, k^2, k^2), rows summing to one; row i makes position i of the window.
        value: (B, H, W, heads, d) with h = ceil(H / stride), w = ceil(W / stride).
        kernel_size, stride, padding: of the windows; positions beyond the map are zero.

    Returns:
        (B, H, W, heads * d).
    """
    batch, height, width, heads, _ = value.shape
    window = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    columns = F.unfold(value.flatten(3).permute(0, 3, 1, 2), **window)  # (B, heads * d * k^2, h * w)
    columns = columns.unflatten(1, (heads, -1, kernel_size**2)).permute(0, 4, 1, 3, 2)
    mixed = weights.flatten(1, 2) @ columns  # (B, h * w, heads, k^2, d)
    mixed = mixed.permute(0, 2, 4, 3, 1).reshape(batch, -1, mixed.shape[1])
    return F.fold(mixed, output_size=(height, width), **window).permute(0, 2, 3, 1)


class OutlookAttention(nn.Module):
    """Attention within k x k windows, its weights read off each window's (pooled) centre by one linear layer."""

    def __init__(self, dim: int, num_heads: int, kernel_size: int, stride: int, padding: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads, self.kernel_size, self.stride, self.padding = num_heads, kernel_size, stride, padding
        self.scale = (dim // num_heads) ** -0.5
        self.v = nn.Linear(dim, dim, bias=qkv_bias)
        self.attn = nn.Linear(dim, num_heads * kernel_size**4)
        self.proj = nn.Linear(dim, dim)

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention of every window (B, h, w, heads, k^2, k^2) from the map x (B, H, W, C)."""
        centres = F.avg_pool2d(x.permute(0, 3, 1, 2), self.stride, ceil_mode=True).permute(0, 2, 3, 1)
        positions = self.kernel_size**2
        scores = self.attn(centres).unflatten(-1, (self.num_heads, positions, positions))
        return (scores * self.scale).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        value = self.v(x).unflatten(-1, (self.num_heads, -1))
        weights = self.weights(x).to(value.dtype)
        return self.proj(outlook(weights, value, self.kernel_size, self.stride, self.padding))
