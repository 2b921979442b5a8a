"""Token reorganisation on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.token_reorganize.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the reorganised tokens and, for each token but the first, its row in them, 0 if it was dropped."""
    tokens, scores = native.shared(args)
    out = tokens.new_empty(tokens.shape[0], 1 + args.keep + args.fuse, tokens.shape[2])
    rows = torch.empty_like(scores, dtype=torch.int64)
    native.module().token_reorganize_forward(tokens, scores, out, rows, args.keep, args.fuse, native.threads())
    return out.to(args.tokens.dtype), rows


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of tokens and scores, None where ``needs`` is False; both come out of one pass."""
    shared = native.shared(args)
    grads = [torch.empty_like(t) for t in shared]
    native.module().token_reorganize_backward(
        native.share(grad), *shared, saved[-1], *grads, args.fuse, native.threads()
    )
    return [g.to(grad.dtype) if need else None for g, need in zip(grads, needs, strict=True)]
