"""Local block attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row_table: Tensor | None,
    column_table: Tensor | None,
    block_size: int,
    halo_size: int,
    scale: float,
) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, value, row_table, column_table)


def _shared(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else native.share(tensor) for tensor in tensors]


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row_table: Tensor | None,
    column_table: Tensor | None,
    block_size: int,
    halo_size: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the output and the logarithm of every query's sum of exponentials."""
    batch, groups, height, width, _ = query.shape
    dtype = native.compute_dtype(query.dtype)
    out = query.new_empty((batch, height, width, groups, value.shape[-1]), dtype=dtype).permute(0, 3, 1, 2, 4)
    logarithm = query.new_empty((batch, groups, height, width), dtype=dtype)
    native.module().local_block_attention_forward(
        *_shared(query, key, value, row_table, column_table),
        out,
        logarithm,
        block_size,
        halo_size,
        scale,
        native.threads(),
    )
    return out.to(query.dtype), logarithm


def backward(
    grad: Tensor,
    saved: list[Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row_table: Tensor | None,
    column_table: Tensor | None,
    block_size: int,
    halo_size: int,
    scale: float,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of query, key, value and the tables, None where ``needs`` is False."""
    dtype = native.compute_dtype(query.dtype)
    maps = [torch.empty_like(tensor, dtype=dtype) for tensor in (query, key, value)]
    # Every map adds its own share, so that the sum does not depend on threads.
    shares = [
        None if table is None else table.new_empty((query.shape[0] * query.shape[1], *table.shape), dtype=dtype)
        for table in (row_table, column_table)
    ]
    native.module().local_block_attention_backward(
        *_shared(grad, saved[1], query, key, value, row_table, column_table),
        *maps,
        *shares,
        block_size,
        halo_size,
        scale,
        native.threads(),
    )
    grads = [*maps, *(None if share is None else share.sum(0) for share in shares)]
    return [g.to(query.dtype) if g is not None and need else None for g, need in zip(grads, needs, strict=True)]
