"""Outlook attention, section 3.1 of the paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.outlook_attention import outlook_attention

__all__ = ["OutlookAttention"]


class OutlookAttention(nn.Module):
    """Attention within k x k windows whose weights one linear layer makes from each window's pooled centre.

    Args:
        dim: channels C.
        num_heads: heads; C is divided among them.
        kernel_size: k.
        stride: the distance between two windows.
        padding: the zeros around the map.
        qkv_bias: whether values have a bias.
    """

    def __init__(self, dim: int, num_heads: int, kernel_size: int, stride: int, padding: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads, self.kernel_size, self.stride, self.padding = num_heads, kernel_size, stride, padding
        self.scale = (dim // num_heads) ** -0.5
        self.v = nn.Linear(dim, dim, bias=qkv_bias)
        self.attn = nn.Linear(dim, num_heads * kernel_size**4)
        self.proj = nn.Linear(dim, dim)

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of every window (B, h, w, heads, k^2, k^2) from the map x (B, H, W, C)."""
        centres = F.avg_pool2d(x.permute(0, 3, 1, 2), self.stride, ceil_mode=True).permute(0, 2, 3, 1)
        positions = self.kernel_size**2
        return self.attn(centres).unflatten(-1, (self.num_heads, positions, positions))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        value = self.v(x).unflatten(-1, (self.num_heads, -1))
        mixed = outlook_attention(self.scores(x), value, self.kernel_size, self.stride, self.padding, self.scale)
        return self.proj(mixed.flatten(3))
