"""Heads whose query is made of tokens, and heads without one: SimPool, CLIP, AbMILP, CBAM, DOLG, a ViT block, GAP."""

from __future__ import annotations

from math import isqrt, sqrt

import torch
from timm.layers import Mlp, trunc_normal_
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.attentive_pool import attentive_pool
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.efficient_probing.attend import attend, whole

__all__ = ["CBAM", "CLIP", "DOLG", "AbMILP", "ESimPool", "Mean", "SimPool", "ViTBlock"]


class Mean(nn.Module):
    """The mean of the tokens, for the linear probe; a feature (B, D) that was pooled before is passed on."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D), or pass on (B, D), to (B, D)."""
        return x.mean(1) if x.dim() == 3 else x


class SimPool(nn.Module):
    """SimPool: the mean token asks, normalised tokens answer, in one head without a value projection."""

    def __init__(self, dim: int, *, reorder: bool) -> None:
        super().__init__()
        self.reorder = reorder
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        query, tokens = self.query(x.mean(1, keepdim=True)), self.norm(x)
        if self.reorder:
            query, key = query @ self.key.weight.to(query.dtype), tokens
        else:
            key = self.key(tokens)
        return attentive_pool(query.to(key.dtype), whole(key), whole(tokens).to(key.dtype)).squeeze(1)


class ESimPool(nn.Module):
    """SimPool without projections: the normalised mean token asks, in several heads; values are the tokens."""

    def __init__(self, dim: int, num_heads: int = 12) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        heads = (self.num_heads, -1)
        query, key = self.norm(x.mean(1)).unflatten(-1, heads), self.norm(x).unflatten(-1, heads)
        return attentive_pool(query, key, x.unflatten(-1, heads)).flatten(1)


class CLIP(nn.Module):
    """CLIP: the mean token, put before the normalised tokens, is read out of self-attention among all of them.

    The official head computes every row of the attention, and so does this one unless it reorders.
    """

    def __init__(self, dim: int, tokens: int = 196, num_heads: int = 4, *, reorder: bool) -> None:
        super().__init__()
        self.reorder = reorder
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.positions = nn.Parameter(torch.zeros(tokens + 1, dim))
        self.attention = SelfAttention(dim, num_heads, qkv_bias=True)
        for weight in (self.positions, self.attention.qkv.weight):
            trunc_normal_(weight, std=dim**-0.5)
        nn.init.zeros_(self.attention.qkv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D).

        Raises:
            ValueError: there are not as many tokens as positions.
        """
        if x.shape[1] + 1 != len(self.positions):
            raise ValueError(f"this CLIP head has positions for {len(self.positions) - 1} tokens, got {x.shape[1]}")
        x = self.norm(x)
        x = torch.cat((x.mean(1, keepdim=True), x), dim=1) + self.positions
        if not self.reorder:
            return self.attention(x)[:, 0]
        weights, biases = self.attention.qkv.weight.chunk(3), self.attention.qkv.bias.chunk(3)
        query, key, value = zip(weights, biases, strict=True)
        first = F.linear(x[:, :1], *query)
        return self.attention.proj(attend(first, x, key, value, self.attention.num_heads, reorder=True))[:, 0]


class AbMILP(nn.Module):
    """AbMILP: a small MLP gives every token its weight; by default one-head self-attention comes before all of it.

    Args:
        dim: channels D.
        self_attention: its place: ahead of weights and values (``both``), of the weights only (``map``), or ``none``.
        activation: ``tanh`` or ``relu``.
        depth: layers of the MLP.
    """

    def __init__(self, dim: int, self_attention: str = "both", activation: str = "tanh", depth: int = 2) -> None:
        super().__init__()
        if self_attention not in ("both", "map", "none") or activation not in ("tanh", "relu"):
            raise ValueError(
                "AbMILP takes self_attention both, map or none and activation tanh or relu, "
                f"got {self_attention!r} and {activation!r}"
            )
        self.on_values = self_attention == "both"
        self.attention = None if self_attention == "none" else SelfAttention(dim, 1, qkv_bias=False)
        act = nn.Tanh if activation == "tanh" else nn.ReLU
        hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(dim, dim), act())]
        self.hidden = nn.Sequential(*hidden)
        self.score = nn.Linear(dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        attended = x if self.attention is None else self.attention(x)
        hidden, values = self.hidden(attended), attended if self.on_values else x
        # The bias adds the same to the scores of all tokens; it is kept so that it has a (zero) gradient.
        weights = self.score(hidden).softmax(1)
        return (weights.mT @ values.to(weights.dtype)).squeeze(1)


class CBAM(nn.Module):
    """CBAM: gates on channels and on positions of the token grid, a residual, ReLU and the mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gates = CbamModule(dim, spatial_kernel_size=7)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D).

        Raises:
            ValueError: the tokens do not form a square.
        """
        side = isqrt(x.shape[1])
        if side * side != x.shape[1]:
            raise ValueError(f"CBAM needs tokens that form a square, got {x.shape[1]}")
        grid = x.mT.unflatten(2, (side, side))
        return F.relu(self.gates(grid) + grid).mean((2, 3))


class DOLG(nn.Module):
    """DOLG (DELF's attention): unit-length features, weighted by the softplus of a score, and their mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, dim)
        self.norm = nn.BatchNorm1d(dim)
        self.score = nn.Linear(dim, 1)
        nn.init.normal_(self.embed.weight, std=sqrt(2 / dim))
        nn.init.normal_(self.score.weight, std=sqrt(2))

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        features = self.norm(self.embed(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        weights = F.softplus(self.score(F.relu(features)))
        weights = weights / features.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return (weights.mT @ features.to(weights.dtype)).squeeze(1) / x.shape[1]


class ViTBlock(nn.Module):
    """One transformer block over all tokens, then their mean."""

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads, qkv_bias=False)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        x = x + self.attention(self.norm1(x))
        return (x + self.mlp(self.norm2(x))).mean(1)
