"""Attention over a grid, or along one axis of it, with a bias that depends on the offset from query to key only."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from claimbench.kernels.biased_attention import reference, windows
from claimbench.kernels.biased_attention.forms import manhattan_decay, quadratic, relative_position
from claimbench.kernels.operator import Operator

__all__ = [
    "OPERATOR",
    "Axis",
    "biased_attention",
    "manhattan_decay",
    "quadratic",
    "relative_position",
    "window_attention",
]

Axis = Literal["both", "width", "height"]

OPERATOR = Operator(
    name="biased_attention",
    arguments=reference.Arguments,
    reference=reference.biased_attention,
    fake=lambda args: torch.empty_like(args.value),
)


def _lines(x: Tensor, axis: Axis) -> Tensor:
    """Return the map (B, G, H, W, d) as the operator takes it, (B, L, G, h, w, d): L independent grids of h x w."""
    if axis == "both":
        return x.unsqueeze(1)
    return x.permute(0, 2, 1, 3, 4).unsqueeze(3) if axis == "width" else x.permute(0, 3, 1, 2, 4).unsqueeze(3)


def _maps(x: Tensor, axis: Axis) -> Tensor:
    """Undo :func:`_lines`."""
    if axis == "both":
        return x.squeeze(1)
    return x.squeeze(3).permute(0, 2, 1, 3, 4) if axis == "width" else x.squeeze(3).permute(0, 2, 3, 1, 4)


def biased_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table: Tensor,
    gate: Tensor | None = None,
    scale: float | None = None,
    axis: Axis = "both",
) -> Tensor:
    """Attend among the positions of a grid with a bias looked up by relative offset.

    For query position n = (h, w) and key position m = (y, x), in every image b and head g::

        bias[g,n,m] = table[g, y - h + H - 1, x - w + W - 1]
        out[n]      = sum over m of softmax_m(scale * query[n] . key[m] + bias[n,m]) * value[m]

    and, with a gate, the convex mix of a content and a positional softmax::

        out[n] = sum over m of ((1 - gate[g]) * softmax_m(scale * query[n] . key[m])
                                + gate[g] * softmax_m(bias[n,m])) * value[m]

    A table has about four numbers for each position and head, so every bias of this kind is one:
    :func:`manhattan_decay` (RMT), :func:`quadratic` (ConViT), :func:`relative_position` (windows with learned biases)
    make it, differentiably. No (HW, HW) tensor of biases or scores is written by the native and the Triton backend.

    Args:
        query, key: (B, G, H, W, d), floating point, any strides; unit stride along d is the fast path on the CPU.
        value: (B, G, H, W, D), the same dtype.
        table: (G, 2 H - 1, 2 W - 1); along one axis the other one has size 1: (G, 1, 2 W - 1) or (G, 2 H - 1, 1).
        gate: (G,), the share of the positional softmax, between 0 and 1; None adds the bias to the scores.
        scale: of the scores; None stands for ``d ** -0.5``.
        axis: ``both`` attends over all H W positions, ``width`` within each row, ``height`` within each column.

    Returns:
        (B, G, H, W, D) in value's dtype; memory in the order of value's strides.

    Raises:
        ValueError: a shape or the axis is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Manhattan self-attention of RMT (CVPR 2024, arXiv 2309.11523, section 3), gated positional self-attention
    of ConViT (ICML 2021, arXiv 2103.10697, equations 6 and 7), relative position bias of Swin (arXiv 2103.14030,
    equation 4).
    """
    name = "biased_attention"
    if axis not in ("both", "width", "height"):
        raise ValueError(f"{name}: axis must be both, width or height, got {axis!r}")
    if query.dim() != 5:
        raise ValueError(f"{name}: query must be (B, G, H, W, d), got shape {tuple(query.shape)}")
    batch, heads, height, width, depth = query.shape
    if key.shape != query.shape:
        raise ValueError(f"{name}: key must have query's shape {tuple(query.shape)}, got {tuple(key.shape)}")
    if value.dim() != 5 or value.shape[:4] != query.shape[:4]:
        raise ValueError(f"{name}: value must be {(batch, heads, height, width)} and D, got {tuple(value.shape)}")
    if min(height, width, depth, value.shape[-1]) < 1:
        raise ValueError(f"{name}: H, W, d and D must be at least 1, got {tuple(query.shape)}, {tuple(value.shape)}")
    sides = (1 if axis == "width" else 2 * height - 1, 1 if axis == "height" else 2 * width - 1)
    if table.shape != (heads, *sides):
        raise ValueError(f"{name}: table must be {(heads, *sides)} for axis {axis}, got shape {tuple(table.shape)}")
    if gate is not None and gate.shape != (heads,):
        raise ValueError(f"{name}: gate must be ({heads},), got shape {tuple(gate.shape)}")
    if axis == "height":
        table = table.transpose(1, 2)
    lines = (_lines(x, axis) for x in (query, key, value))
    return _maps(OPERATOR(*lines, table, gate, depth**-0.5 if scale is None else scale), axis)


def window_attention(
    query: Tensor, key: Tensor, value: Tensor, table: Tensor, window: int, shift: int = 0, scale: float | None = None
) -> Tensor:
    """Attend within the windows that tile a map, each biased by relative offset; with a shift, the tiling is moved.

    Without a shift, position (y, x) attends to those of the same window, (y // w, x // w), as in
    :func:`biased_attention` on each. With a shift s the windows begin at s, s + w, ...; the positions left at the map's
    edges, s at the top and left and w - s at the bottom and right, attend among themselves. That is Swin's cyclic shift
    under its mask: the mask separates positions that the shift brings together from the map's two ends, and each side
    of it is a smaller window. The parts of a cut window are attended to as windows of their size. Nothing is moved and
    no mask is made, except on the meta device and the reference backend, which follow the definition.

    Args:
        query, key: (B, H, W, G, d), floating point, any strides; H and W are multiples of ``window``.
        value: (B, H, W, G, D), the same dtype.
        table: (G, 2 w - 1, 2 w - 1), by key minus query (:func:`relative_position` makes it of Swin's parameter).
        window: w.
        shift: s, at least 0 and below w.
        scale: of the scores; None stands for ``d ** -0.5``.

    Returns:
        (B, H, W, G, D).

    Raises:
        ValueError: a shape or a size is not as above.

    Source: Swin (arXiv 2103.14030), sections 3.2 and 3.3.
    """
    name = "window_attention"
    if query.dim() != 5 or key.shape != query.shape or value.dim() != 5 or value.shape[:4] != query.shape[:4]:
        raise ValueError(
            f"{name}: query, key and value must be (B, H, W, G, channels) on one map, got {tuple(query.shape)}, "
            f"{tuple(key.shape)} and {tuple(value.shape)}"
        )
    if window < 1 or not 0 <= shift < window:
        raise ValueError(f"{name}: window must be at least 1 and shift between 0 and window - 1, got {window}, {shift}")
    height, width, heads, depth = query.shape[1:]
    if height % window or width % window:
        raise ValueError(f"{name}: windows of {window} do not tile a map of {height}x{width}: pad it first")
    if table.shape != (heads, 2 * window - 1, 2 * window - 1):
        raise ValueError(f"{name}: table must be {(heads, 2 * window - 1, 2 * window - 1)}, got {tuple(table.shape)}")
    scale = depth**-0.5 if scale is None else scale
    return windows.attend(OPERATOR, query, key, value, table, window, shift, scale)
