"""Token reorganisation, section 3.2 of the paper."""

from __future__ import annotations

import torch
from torch import Tensor


def class_attention(q: Tensor, k: Tensor) -> Tensor:
    """Return how much the class token attends to each other token, averaged over heads: (B, N - 1).

    Args:
        q, k: queries and keys (B, heads, N, d), the class token first. Only its row of the attention is computed, so
            the attention itself may run in a fused kernel that never shows its probabilities.
    """
    row = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return row.softmax(-1)[:, :, 0, 1:].mean(dim=1)


def reorganize(tokens: Tensor, scores: Tensor, keep: int, fuse: bool) -> tuple[Tensor, Tensor]:
    """Keep the class token and the ``keep`` tokens of highest score, best first; optionally fuse the others into one.

    The fused token is the sum of the dropped tokens weighted by their scores, which are not renormalised (equation 4).

    Args:
        tokens: (B, N, C), the class token first.
        scores: (B, N - 1), one for each other token.
        keep: how many of the N - 1 tokens to keep.
        fuse: whether to append the fused token.

    Returns:
        The tokens (B, 1 + keep, C), or (B, 2 + keep, C) with the fused token last, and which of the N - 1 tokens were
        kept (B, keep).
    """
    others = tokens[:, 1:]
    kept = scores.topk(keep, dim=1).indices
    parts = [tokens[:, :1], others.gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))]
    if fuse:
        dropped = scores.scatter(1, kept, 0.0).to(tokens.dtype)
        parts.append(dropped.unsqueeze(1) @ others)
    return torch.cat(parts, dim=1), kept
