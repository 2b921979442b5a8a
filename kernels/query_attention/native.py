"""Query attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses as _refuses
from claimbench.kernels.native import unavailable
from claimbench.kernels.query_attention.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return _refuses(args[:3])


def forward(args: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values, the scores, and the logarithm of each softmax's sum, (B, Q, heads)."""
    query, key, value = native.shared(args[:3])
    batch, queries, heads = len(args.offsets) - 1, query.shape[1], query.shape[2]
    values = value.new_empty(batch, queries, heads, value.shape[2])
    scores, logs = value.new_empty(len(key), queries), value.new_empty(batch, queries, heads)
    native.module().query_attention_forward(
        query, key, value, _offsets(args), values, scores, logs, args.scale, native.threads()
    )
    return values.to(args.value.dtype), scores.to(args.value.dtype), logs


def backward(grad: list[Tensor], saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of query, key and value, None where ``needs`` is False and the work is left out."""
    shared = native.shared(args[:3])
    grads = [torch.empty_like(t) if need else None for t, need in zip(shared, needs[:3], strict=True)]
    native.module().query_attention_backward(
        *map(native.share, grad), *shared, _offsets(args), saved[-1], *grads, args.scale, native.threads()
    )
    return [*(None if g is None else g.to(args.value.dtype) for g in grads), None]


def _offsets(args: Arguments) -> Tensor:
    return args.offsets.to(device="cpu", dtype=torch.int64).contiguous()
