"""Attention over maps with a learned bias by relative position: in (dilated) neighbourhoods, and over all positions.

DiNAT is built from these layers; the studies of other papers use them as counterparts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.biased_attention import biased_attention
from claimbench.kernels.neighborhood_attention import neighborhood_attention

__all__ = ["GlobalAttention", "GridAttention", "NeighborhoodAttention", "relative_position_index"]


class BiasedMapAttention(nn.Module):
    """Queries, keys and values of a map (B, H, W, C), a bias by relative position, and the output projection.

    Args:
        dim: channels C.
        num_heads: heads h, of C / h channels each.
        reach: the largest distance of a query from a key along each axis, plus one.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, dim: int, num_heads: int, reach: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.rpb = nn.Parameter(torch.zeros(num_heads, 2 * reach - 1, 2 * reach - 1))
        self.proj = nn.Linear(dim, dim)
        trunc_normal_(self.rpb, std=0.02)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (B, heads, H, W, C / heads) each: views of one tensor."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 4, 1, 2, 5).unbind(0)
        return q, k, v


class NeighborhoodAttention(BiasedMapAttention):
    """Attention of every position to a k x k window around it of every ``dilation``-th position.

    A map smaller than the reach of the window (k * dilation) is enlarged by zeros at its right and bottom edge, and the
    result is cut to size. The zeros are keys like any others, as in natten up to 0.14.
    """

    def __init__(self, dim: int, num_heads: int, kernel_size: int, dilation: int, qkv_bias: bool) -> None:
        super().__init__(dim, num_heads, kernel_size, qkv_bias)
        self.kernel_size, self.dilation = kernel_size, dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        height, width = x.shape[1:3]
        least = self.kernel_size * self.dilation
        if height < least or width < least:
            x = F.pad(x, (0, 0, 0, max(least - width, 0), 0, max(least - height, 0)))
        q, k, v = self.heads(x)
        out = neighborhood_attention(q, k, v, self.rpb, kernel_size=self.kernel_size, dilation=self.dilation)
        return self.proj(out.permute(0, 2, 3, 1, 4).flatten(3)[:, :height, :width])


class GridAttention(BiasedMapAttention):
    """Attention among all positions of a ``side`` x ``side`` grid, in PyTorch's fused kernel."""

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, side: int, qkv_bias: bool) -> None:
        super().__init__(dim, num_heads, side, qkv_bias)
        self.register_buffer("relative_position_index", relative_position_index(side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, side, side, C) to the same shape."""
        q, k, v = (part.flatten(2, 3) for part in self.heads(x))
        bias = self.rpb.flatten(1)[:, self.relative_position_index].to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0))
        return self.proj(out.transpose(1, 2).reshape(x.shape))


class GlobalAttention(BiasedMapAttention):
    """The function of :class:`GridAttention`, without a bias (N, N) of the N = side * side positions in memory.

    This form is for training: PyTorch's fused kernel gives the bias no gradient, and its unfused one holds all scores.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, side, side, C) to the same shape."""
        out = biased_attention(*self.heads(x), self.rpb)
        return self.proj(out.permute(0, 2, 3, 1, 4).flatten(3))


def relative_position_index(side: int) -> Tensor:
    """Return the index (side^2, side^2) of each (query, key) pair of a grid in a flattened table of biases.

    Rows and columns of the table are key minus query positions, as in natten; in Swin they are query minus key.
    """
    position = torch.arange(side)
    offset = position[None, :] - position[:, None] + side - 1
    index = offset[:, None, :, None] * (2 * side - 1) + offset[None, :, None, :]
    return index.reshape(side**2, side**2)
