"""Heads whose learned query reads the tokens by multi-head cross-attention: AIM, V-JEPA, SigLIP, CAE, CoCa, CaiT."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import Mlp, trunc_normal_, trunc_normal_tf_
from torch import Tensor, nn

from claimbench.kernels.attentive_pool import attentive_pool
from claimbench.reproductions.efficient_probing.attend import Projection, TokenNorm, attend, whole
from claimbench.reproductions.initialise import linear_layers

__all__ = ["CAE", "JEPA", "Aim", "CaiT", "CoCa", "SigLIP"]


def _map(layer: nn.Linear) -> Projection:
    return layer.weight, layer.bias


def _halves(layer: nn.Linear) -> tuple[Projection, Projection]:
    """Return keys' and values' parts of a joint projection."""
    biases = (None, None) if layer.bias is None else layer.bias.chunk(2)
    weights = layer.weight.chunk(2)
    return (weights[0], biases[0]), (weights[1], biases[1])


class Aim(nn.Module):
    """AIM: tokens under a batch normalisation, learned queries, keys and values projected; mean over the queries."""

    def __init__(self, dim: int, num_heads: int = 16, num_queries: int = 1, *, reorder: bool) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.02)
        self.norm = TokenNorm(dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        if not self.reorder:
            return attend(self.queries, self.norm(x), _map(self.key), _map(self.value), self.num_heads).mean(1)
        # The normalisation moves out of the way too: its shift adds the same to all scores of a query.
        mean, deviation = self.norm.statistics(x)
        heads = (self.num_heads, -1)
        queries = self.queries.unflatten(-1, heads).transpose(0, 1) @ self.key.weight.unflatten(0, heads)  # (h, M, D)
        scale = (x.shape[-1] // self.num_heads) ** -0.5
        pooled = attentive_pool((queries / deviation).flatten(0, 1).to(x.dtype), whole(x), whole(x), scale)
        pooled = ((pooled - mean) / deviation).unflatten(1, heads).mean(2)  # (B, h, D)
        return torch.einsum("bhc,hec->bhe", pooled, self.value.weight.to(pooled).unflatten(0, heads)).flatten(1)


class JEPA(nn.Module):
    """V-JEPA: a cross-attention block, one learned query with a residual MLP of ratio 4."""

    def __init__(self, dim: int, num_heads: int = 16, *, reorder: bool) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.queries = nn.Parameter(torch.zeros(1, dim))
        self.norm1 = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.apply(linear_layers)
        trunc_normal_(self.queries, std=0.02)
        for last in (self.project, self.mlp.fc2):
            last.weight.data.div_(2**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        maps = _halves(self.key_value)
        found = attend(self.query(self.queries), self.norm1(x), *maps, self.num_heads, reorder=self.reorder)
        q = (self.queries + self.project(found)).squeeze(1)
        return q + self.mlp(self.norm2(q))


class SigLIP(nn.Module):
    """SigLIP: one latent query, and a residual MLP of ratio 4 on the pooled vector."""

    def __init__(self, dim: int, num_heads: int = 8, *, reorder: bool) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.latent = nn.Parameter(torch.zeros(1, dim))
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.project = nn.Linear(dim, dim)
        self.mlp = Mlp(dim, 4 * dim)
        trunc_normal_tf_(self.latent, std=dim**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        maps = _halves(self.key_value)
        found = attend(self.query(self.latent), x, *maps, self.num_heads, reorder=self.reorder).squeeze(1)
        found = self.project(found)
        return found + self.mlp(found)


class CAE(nn.Module):
    """CAE: one learned query under a norm, keys and values under norms of their own, no residual.

    ``norm2`` counts among the parameters of the official head, but nothing reads it.
    """

    def __init__(self, dim: int, num_heads: int = 8, *, reorder: bool) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.queries = nn.Parameter(torch.zeros(1, dim))
        self.norm_query, self.norm_key, self.norm_value = (nn.LayerNorm(dim) for _ in range(3))
        self.norm2 = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        query = self.query(self.norm_query(self.queries))
        found = attend(
            query,
            self.norm_key(x),
            _map(self.key),
            _map(self.value),
            self.num_heads,
            values=self.norm_value(x),
            reorder=self.reorder,
        )
        return self.project(found.squeeze(1))


class CoCa(nn.Module):
    """CoCa: learned queries of 8 heads that share one head of keys and values; only the first query's output is used.

    The official head computes all of them, and so does this one unless it reorders.
    """

    def __init__(
        self, dim: int, num_queries: int = 196, num_heads: int = 8, head_dim: int = 64, *, reorder: bool
    ) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.queries = nn.Parameter(torch.randn(num_queries, dim))
        self.gain = nn.Parameter(torch.ones(dim))
        self.query = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * head_dim, bias=False)
        self.project = nn.Linear(num_heads * head_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        queries = self.queries[:1] if self.reorder else self.queries.expand(len(x), -1, -1)
        query = self.query(F.layer_norm(queries, self.gain.shape, self.gain))
        maps = _halves(self.key_value)
        found = attend(query, x, *maps, self.num_heads, groups=1, reorder=self.reorder)
        return self.project(found)[:, 0]


class CaiT(nn.Module):
    """CaiT: a class token that attends to itself and to the tokens in one class-attention block, then a norm."""

    def __init__(self, dim: int, num_heads: int = 4, *, reorder: bool) -> None:
        super().__init__()
        self.num_heads, self.reorder = num_heads, reorder
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=1e-6) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        self.query, self.key, self.value, self.project = (nn.Linear(dim, dim) for _ in range(4))
        self.mlp = Mlp(dim, 4 * dim)
        self.scale1, self.scale2 = (nn.Parameter(torch.full((dim,), 1e-5)) for _ in range(2))
        trunc_normal_(self.class_token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D)."""
        token = self.class_token.to(x.dtype).expand(len(x), -1, -1)
        u = self.norm1(torch.cat((token, x), dim=1))
        maps = _map(self.key), _map(self.value)
        found = attend(self.query(u[:1, 0]), u, *maps, self.num_heads, reorder=self.reorder).squeeze(1)
        found = self.class_token[0] + self.scale1 * self.project(found)
        found = found + self.scale2 * self.mlp(self.norm2(found))
        return self.norm(found)
