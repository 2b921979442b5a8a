"""How attentive tokens are found, section 3.2 of the paper."""

from __future__ import annotations

from torch import Tensor


def class_attention(q: Tensor, k: Tensor) -> Tensor:
    """Return how much the class token attends to each other token, averaged over heads: (B, N - 1).

    Args:
        q, k: queries and keys (B, heads, N, d), the class token first. Only its row of the attention is computed, so
            the attention itself may run in a fused kernel that never shows its probabilities.
    """
    row = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return row.softmax(-1)[:, :, 0, 1:].mean(dim=1)
