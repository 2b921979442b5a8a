"""Multi-head self-attention, shared by most transformers among the papers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SelfAttention"]


class SelfAttention(nn.Module):
    """proj(softmax(q k^T / sqrt(d)) v) over all tokens, in PyTorch's fused kernel.

    Args:
        dim: channels C of the tokens.
        num_heads: heads h; C is divided among them, d = C / h.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of the tokens (B, N, C), each (B, h, N, d)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def join(self, attended: Tensor) -> Tensor:
        """Return the output (B, N, C) from the attended values (B, h, N, d)."""
        return self.proj(attended.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        """Attend among the tokens (B, N, C)."""
        return self.join(F.scaled_dot_product_attention(*self.heads(x)))

    def first(self, x: Tensor) -> Tensor:
        """Attend from the first of the tokens (B, N, C) alone: (B, 1, C), the first row of :meth:`forward`."""
        weights = self.qkv.weight.tensor_split((x.shape[-1],))
        biases = (None, None) if self.qkv.bias is None else self.qkv.bias.tensor_split((x.shape[-1],))
        q = F.linear(x[:, :1], weights[0], biases[0]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        kv = F.linear(x, weights[1], biases[1]).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.join(F.scaled_dot_product_attention(q, *kv.unbind(0)))
