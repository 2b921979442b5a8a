"""Token reorganisation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(tokens: Tensor, scores: Tensor, keep: int, fuse: bool) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(tokens, scores)


def forward(tokens: Tensor, scores: Tensor, keep: int, fuse: bool) -> tuple[Tensor, Tensor]:
    """Return the reorganised tokens and, for each token but the first, its row in them, 0 if it was dropped."""
    shared = native.share(tokens)
    out = shared.new_empty(tokens.shape[0], 1 + keep + fuse, tokens.shape[2])
    rows = torch.empty_like(scores, dtype=torch.int64)
    native.module().token_reorganize_forward(shared, native.share(scores), out, rows, keep, fuse, native.threads())
    return out.to(tokens.dtype), rows


def backward(
    grad: Tensor, saved: list[Tensor], tokens: Tensor, scores: Tensor, keep: int, fuse: bool, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of tokens and scores, None where ``needs`` is False; both come out of one pass."""
    shared = [native.share(t) for t in (grad, tokens, scores)]
    grads = [torch.empty_like(t) for t in shared[1:]]
    native.module().token_reorganize_backward(*shared, saved[-1], *grads, fuse, native.threads())
    return [g.to(t.dtype) if need else None for g, t, need in zip(grads, (tokens, scores), needs, strict=True)]
