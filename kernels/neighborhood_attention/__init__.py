"""Neighbourhood attention: every position attends to its own, possibly dilated window; no scores are written."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels.neighborhood_attention import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "neighborhood_attention"]

OPERATOR = Operator(
    name="neighborhood_attention",
    arguments=reference.Arguments,
    reference=reference.neighborhood_attention,
    fake=lambda args: torch.empty_like(args.value),
)

_NAME = "neighborhood_attention"


def neighborhood_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    scale: float | None = None,
) -> Tensor:
    """Let every position of a map (or of a sequence) attend to the window around it.

    With ``p = (i, j)`` running over the window of position (h, w) and (y, x) the position of p::

        score[p]       = scale * query[b,g,h,w] . key[b,g,y,x] + bias[g, (y - h) / dh + kh - 1, (x - w) / dw + kw - 1]
        out[b,g,h,w]   = sum over p of softmax(score)[p] * value[b,g,y,x]

    Windows are centred and shifted inwards at the border, so that each holds kh x kw positions. With dilation a
    position sees only rows and columns of its own residue class. The scores of a map, (B, G, H, W, kh*kw), are never
    written by the native and the Triton backend, in neither pass.

    Args:
        query: (B, G, H, W, D), or (B, G, L, D) for a sequence; any strides. Views of one (B, H, W, 3, G, D) tensor, as
            a linear layer makes it, are the fast path on the CPU.
        key: as the query.
        value: as the query; its D may be another one.
        bias: relative position bias (G, 2 kh - 1, 2 kw - 1), or (G, 2 k - 1) for a sequence; None for none.
        kernel_size: k, or (kh, kw); odd.
        dilation: d, or (dh, dw); along each axis ``kernel_size * dilation`` may not exceed the length.
        scale: of the products; None for D ** -0.5.

    Returns:
        (B, G, H, W, Dv) or (B, G, L, Dv) in value's dtype and order of strides.

    Raises:
        ValueError: a shape, the kernel size or the dilation is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Hassani et al., "Neighborhood Attention Transformer", CVPR 2023, arXiv 2204.07143, equations 2 to 5; dilated
    as in Hassani and Shi, arXiv 2209.15001. Relative position bias as in NATTEN up to 0.17.
    """
    if query.dim() == 4:
        return _sequence(query, key, value, bias, kernel_size, dilation, scale)
    if query.dim() != 5:
        raise ValueError(f"{_NAME}: query must be (B, G, H, W, D) or (B, G, L, D), got shape {tuple(query.shape)}")
    kernel, steps = _per_axis("kernel_size", kernel_size, 2), _per_axis("dilation", dilation, 2)
    _check_windows(tuple(query.shape[2:4]), kernel, steps)
    _expect("key", key, tuple(query.shape), "query's shape")
    _expect("value", value, (*query.shape[:4], *value.shape[4:5]), "(B, G, H, W, Dv)")
    if bias is not None:
        expected = (query.shape[1], *(2 * k - 1 for k in kernel))
        _expect("bias", bias, expected, "(G, 2 kh - 1, 2 kw - 1)")
    return OPERATOR(query, key, value, bias, kernel, steps, query.shape[-1] ** -0.5 if scale is None else scale)


def _sequence(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int],
    scale: float | None,
) -> Tensor:
    """Attend along one axis: a map of a single row."""
    (k,), (d,) = _per_axis("kernel_size", kernel_size, 1), _per_axis("dilation", dilation, 1)
    _check_windows(tuple(query.shape[2:3]), [k], [d])
    _expect("key", key, tuple(query.shape), "query's shape")
    _expect("value", value, (*query.shape[:3], *value.shape[3:4]), "(B, G, L, Dv)")
    if bias is not None:
        _expect("bias", bias, (query.shape[1], 2 * k - 1), "(G, 2 k - 1)")
        bias = bias.unsqueeze(1)
    query, key, value = (tensor.unsqueeze(2) for tensor in (query, key, value))
    return neighborhood_attention(query, key, value, bias, kernel_size=(1, k), dilation=(1, d), scale=scale).squeeze(2)


def _per_axis(name: str, value: int | Sequence[int], axes: int) -> list[int]:
    values = [value] * axes if isinstance(value, int) else list(value)
    if len(values) != axes:
        raise ValueError(f"{_NAME}: {name} must be one number or {axes}, got {values}")
    return values


def _check_windows(lengths: tuple[int, ...], kernel: Sequence[int], dilation: Sequence[int]) -> None:
    for length, k, d in zip(lengths, kernel, dilation, strict=True):
        if k < 1 or k % 2 == 0:
            raise ValueError(f"{_NAME}: kernel_size must be odd and positive, got {k}")
        if d < 1:
            raise ValueError(f"{_NAME}: dilation must be at least 1, got {d}")
        if length < k * d:
            raise ValueError(
                f"{_NAME}: an axis of {length} positions is shorter than kernel_size * dilation = {k} * {d}; "
                "enlarge the map or choose a smaller window"
            )


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{_NAME}: {name} must be {meaning} = {shape}, got shape {tuple(tensor.shape)}")
