"""Gated positional self-attention (GPSA), section 3 of the paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from claimbench.kernels.biased_attention import biased_attention, quadratic

__all__ = ["GatedPositionalAttention"]


class GatedPositionalAttention(nn.Module):
    """A convex mix, head by head, of a content softmax and a positional softmax.

        A = (1 - s) softmax(q k^T / sqrt(d)) + s softmax(u . r),   s = sigmoid(gate),   out = proj(A v)

    with r(n, m) = (dx, dy, dx^2 + dy^2) from query patch n to key patch m, in patches. The logits u . r depend on the
    offset only, so the attention looks them up in a small table and writes no (N, N) matrix.

    Args:
        dim: channels C of the tokens, shape (B, N, C).
        num_heads: attention heads h; C is divided among them.
        locality_strength: the paper's alpha; the larger, the sharper a head starts at its own offset.
    """

    def __init__(self, dim: int, num_heads: int, locality_strength: float = 1.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.locality_strength = locality_strength
        self.qk = nn.Linear(dim, 2 * dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.position = nn.Linear(3, num_heads)
        self.gate = nn.Parameter(torch.ones(num_heads))

    @torch.no_grad()
    def init_as_convolution(self) -> None:
        """Start every head of the largest square kernel at one offset of it (section 3.2, "local initialization").

        Head ``h1 + k * h2`` attends around the offset (h2 - c, h1 - c), c the kernel's centre; v starts as identity.
        """
        nn.init.eye_(self.v.weight)
        nn.init.zeros_(self.position.bias)
        size = math.isqrt(self.num_heads)
        centre = (size - 1) / 2 if size % 2 == 0 else size // 2
        for head in range(size * size):
            column, row = divmod(head, size)
            offset = torch.tensor([2 * (column - centre), 2 * (row - centre), -1.0])
            self.position.weight[head] = self.locality_strength * offset

    def table(self, grid: tuple[int, int]) -> Tensor:
        """Return u . r for every offset of a ``grid``, shape (h, 2 height - 1, 2 width - 1)."""
        return quadratic(self.position.weight, self.position.bias, *grid)

    def maps(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of the tokens (B, N, C), each (B, h, height, width, d)."""
        split = (self.num_heads, x.shape[-1] // self.num_heads)
        q, k = self.qk(x).unflatten(-1, (2, *split)).unflatten(1, grid).permute(3, 0, 4, 1, 2, 5).unbind(0)
        return q, k, self.v(x).unflatten(-1, split).unflatten(1, grid).permute(0, 3, 1, 2, 4)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Mix the tokens ``x`` (B, N, C) of a ``grid`` of N = height * width patches."""
        mixed = biased_attention(*self.maps(x, grid), self.table(grid), self.gate.sigmoid())
        return self.proj(mixed.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2))
