"""Gated positional self-attention (GPSA), section 3 of the paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def relative_positions(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return r(n, m) = (dx, dy, dx^2 + dy^2) from query patch n to key patch m, in patches: shape (N, N, 3)."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=dtype, device=device), torch.arange(width, dtype=dtype, device=device), indexing="ij"
    )
    x, y = x.flatten(), y.flatten()
    dx, dy = x[None, :] - x[:, None], y[None, :] - y[:, None]
    return torch.stack((dx, dy, dx.square() + dy.square()), dim=-1)


class GatedPositionalAttention(nn.Module):
    """A convex mix, head by head, of a content softmax and a positional softmax.

        A = (1 - s) softmax(q k^T / sqrt(d)) + s softmax(u . r),   s = sigmoid(gate),   out = proj(A v)

    The positional softmax does not depend on the picture: it is computed once per call, without the batch axis, and
    applied as a matrix product of its own, so that the (B, h, N, N) mix of both is never written.

    Args:
        dim: channels C of the tokens, shape (B, N, C).
        num_heads: attention heads h; C is divided among them.
        locality_strength: how sharply each head starts at its own offset (the paper's alpha).
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

    def positional_attention(self, grid: tuple[int, int]) -> Tensor:
        """Return softmax(u . r) over the keys, shape (h, N, N); rows sum to one."""
        weight = self.position.weight
        scores = self.position(relative_positions(*grid, weight.dtype, weight.device))
        return scores.movedim(-1, 0).softmax(-1)

    def content_attention(self, x: Tensor) -> Tensor:
        """Return softmax(q k^T / sqrt(d)), shape (B, h, N, N)."""
        q, k = self._heads(self.qk(x), 2)
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1)

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        batch, tokens, channels = x.shape
        split = x.reshape(batch, tokens, parts, self.num_heads, channels // (parts * self.num_heads))
        return split.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Mix the tokens ``x`` (B, N, C) of a ``grid`` of N = height * width patches."""
        q, k = self._heads(self.qk(x), 2)
        (v,) = self._heads(self.v(x), 1)
        share = self.gate.sigmoid().to(x.dtype)[:, None, None]
        content = nn.functional.scaled_dot_product_attention(q, k, v)
        positional = torch.einsum("hnm,bhmd->bhnd", self.positional_attention(grid).to(v.dtype), v)
        mixed = torch.lerp(content, positional.to(content.dtype), share.to(content.dtype))
        return self.proj(mixed.transpose(1, 2).flatten(2))
