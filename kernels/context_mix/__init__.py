"""Context mixing: dynamic kernels for every position, drawn from its affinity to regions of a context map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels.context_mix import reference
from claimbench.kernels.neighborhood_aggregate import check_window
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "context_mix"]

OPERATOR = Operator(
    name="context_mix",
    arguments=reference.Arguments,
    reference=reference.context_mix,
    fake=lambda args: torch.empty_like(args.value),
)


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    if tensor.shape != shape:
        raise ValueError(f"context_mix: {name} must be {meaning} = {shape}, got shape {tuple(tensor.shape)}")


def context_mix(
    query: Tensor,
    key: Tensor,
    projection: Tensor,
    projection_bias: Tensor,
    position_bias: Sequence[Tensor],
    value: Tensor,
    kernel_sizes: Sequence[int],
) -> Tensor:
    """Mix the window of every position with kernels computed from its affinity to the regions of a context.

    With ``p`` running over the windows of all kernels, one after the other, each in row-major order::

        score[b,g,h,w,p] = sum over r of (query[b,g,h,w] . key[b,g,r]) * projection[p,r] + projection_bias[p]
                           + position_bias_i[g, y - h + k_i - 1, x - w + k_i - 1]   for the key position (y, x) of p
        weight_i         = softmax of the scores of kernel i
        out[b,i,g,h,w]   = sum over the k_i x k_i window of weight_i * value[b,i,g,y,x]

    Windows are centred and shifted inwards at the border, as in
    :func:`claimbench.kernels.neighborhood_aggregate.neighborhood_aggregate`. All scores of a map, (B, G, H, W, P), are
    never written by the native and the Triton backend.

    Args:
        query: (B, G, H, W, d), already scaled; any strides.
        key: (B, G, R, d), one key for each region of the context.
        projection: (P, R) with P the sum of ``k * k`` over the kernels: region affinities to window scores.
        projection_bias: (P,).
        position_bias: for each kernel the relative position bias, (G, 2k - 1, 2k - 1).
        value: (B, K, G, H, W, D), K the number of kernels; any strides, unit stride along D is the CPU's fast path.
        kernel_sizes: K odd window sizes, none larger than H or W.

    Returns:
        (B, K, G, H, W, D) in value's dtype and strides.

    Raises:
        ValueError: a shape or a kernel size is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: the ContMix token mixer of OverLoCK, CVPR 2025, arXiv 2502.20087.
    """
    if query.dim() != 5:
        raise ValueError(f"context_mix: query must be (B, G, H, W, d), got shape {tuple(query.shape)}")
    batch, groups, height, width, depth = query.shape
    sizes = list(kernel_sizes)
    if not sizes or len(position_bias) != len(sizes):
        raise ValueError(
            f"context_mix: each of {len(sizes)} kernel sizes needs one position bias, got {len(position_bias)}"
        )
    for k in sizes:
        check_window("context_mix", height, width, k)
    if key.dim() != 4 or key.shape[2] < 1:
        raise ValueError(f"context_mix: key must be (B, G, R, d) with R at least 1, got shape {tuple(key.shape)}")
    regions, window = key.shape[2], sum(k * k for k in sizes)
    _expect("key", key, (batch, groups, regions, depth), "(B, G, R, d)")
    _expect("projection", projection, (window, regions), "(sum of k*k, R)")
    _expect("projection_bias", projection_bias, (window,), "(sum of k*k,)")
    for k, table in zip(sizes, position_bias, strict=True):
        _expect(f"position_bias of the {k}x{k} kernel", table, (groups, 2 * k - 1, 2 * k - 1), "(G, 2k-1, 2k-1)")
    if value.dim() != 6:
        raise ValueError(f"context_mix: value must be (B, K, G, H, W, D), got shape {tuple(value.shape)}")
    _expect("value", value, (batch, len(sizes), groups, height, width, value.shape[-1]), "(B, K, G, H, W, D)")
    tables = torch.cat([table.flatten(1) for table in position_bias], dim=1)
    return OPERATOR(query, key, projection, projection_bias, tables, value, sizes)
