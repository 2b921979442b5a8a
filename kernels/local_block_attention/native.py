"""Local block attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.local_block_attention.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the output and the logarithm of every query's sum of exponentials."""
    query, value = args.query, args.value
    batch, groups, height, width, _ = query.shape
    dtype = native.compute_dtype(query.dtype)
    out = query.new_empty((batch, height, width, groups, value.shape[-1]), dtype=dtype).permute(0, 3, 1, 2, 4)
    logarithm = query.new_empty((batch, groups, height, width), dtype=dtype)
    native.module().local_block_attention_forward(
        *native.shared(args), out, logarithm, args.block_size, args.halo_size, args.scale, native.threads()
    )
    return out.to(query.dtype), logarithm


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of query, key, value and the tables, None where ``needs`` is False."""
    shared = native.shared(args)
    maps = [torch.empty_like(tensor) for tensor in shared[:3]]
    # Every map adds its own share, so that the sum does not depend on threads.
    shares = [
        None if table is None else table.new_empty((grad.shape[0] * grad.shape[1], *table.shape))
        for table in shared[3:]
    ]
    native.module().local_block_attention_backward(
        *native.shared((grad, saved[1])),
        *shared,
        *maps,
        *shares,
        args.block_size,
        args.halo_size,
        args.scale,
        native.threads(),
    )
    grads = [*maps, *(None if share is None else share.sum(0) for share in shares)]
    return [g.to(grad.dtype) if g is not None and need else None for g, need in zip(grads, needs, strict=True)]
