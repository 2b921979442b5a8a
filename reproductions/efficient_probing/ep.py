"""Efficient probing: learned queries attend the tokens themselves, each pooling its own slice of the values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from claimbench.kernels.attentive_pool import attentive_pool
from claimbench.reproductions.efficient_probing.attend import whole

__all__ = ["EfficientProbing"]


class EfficientProbing(nn.Module):
    """a_q = softmax(D^-1/2 q . x); the output is a_1 V_1, ..., a_Q V_Q side by side, V_q the q-th slice of V = x W^T.

    Keys are the tokens in full width; a learned query absorbs a key projection (section 3).

    Args:
        dim: channels D of the tokens.
        num_queries: Q.
        d_out: the width of the tokens over that of the output.
        qkv_bias: whether values have a bias.
        reorder: whether to project after the pooling if that takes fewer multiply-adds: 2 Q N D + D^2 / d_out for N
            tokens in place of Q N D + N D^2 / d_out + N D / d_out.
    """

    def __init__(
        self, dim: int, num_queries: int = 32, d_out: int = 1, qkv_bias: bool = False, *, reorder: bool
    ) -> None:
        super().__init__()
        if dim % (num_queries * d_out):
            raise ValueError(
                f"efficient probing cuts {dim} channels into num_queries * d_out = {num_queries} * {d_out} slices, "
                "which does not go evenly"
            )
        self.reorder = reorder
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.02)
        self.value = nn.Linear(dim, dim // d_out, bias=qkv_bias)
        self.width = dim // d_out

    def pools_first(self, tokens: int) -> bool:
        """Return whether this many tokens are pooled before the projection."""
        queries, dim = self.queries.shape
        return self.reorder and queries * tokens * dim + dim * self.width < tokens * self.width * (dim + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, D / d_out)."""
        queries = len(self.queries)
        if self.pools_first(x.shape[1]):
            pooled = attentive_pool(self.queries.to(x.dtype), whole(x), whole(x))  # (B, Q, D)
            slices = self.value.weight.to(x.dtype).unflatten(0, (queries, -1))  # (Q, D / (d_out Q), D)
            out = torch.einsum("bqc,qec->bqe", pooled, slices).flatten(1)
            return out if self.value.bias is None else out + self.value.bias
        values = self.value(x).unflatten(-1, (queries, -1))
        return attentive_pool(self.queries.to(values.dtype), whole(x).to(values.dtype), values).flatten(1)

    def attention(self, x: Tensor) -> Tensor:
        """Return the maps (B, Q, N) that the queries pool with."""
        return (x.shape[-1] ** -0.5 * self.queries @ x.mT).softmax(-1)
