"""Varied-size window attention: keys and values are sampled from a window that moves and stretches."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.varied_window_attention import reference

__all__ = ["OPERATOR", "varied_window_attention"]

NAME = "varied_window_attention"


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and an empty table of logarithms (B, G, H, W), one for each query."""
    query, value = args.query, args.value
    batch, groups, height, width, _ = query.shape
    out = query.new_empty((batch, height, width, groups, value.shape[-1])).permute(0, 3, 1, 2, 4)
    precise = torch.promote_types(query.dtype, torch.float32)
    return out, query.new_empty((batch, groups, height, width), dtype=precise)


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.varied_window_attention,
    fake=_fake,
    extras=1,  # the logarithm of every query's sum of exponentials
    saves_output=True,
)


def varied_window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offset: Tensor,
    stretch: Tensor,
    bias: Tensor | None,
    window_size: int,
    scale: float | None = None,
) -> Tensor:
    """Attend from the queries of each window to w x w keys sampled from a window of another place and size.

    Windows of w x w positions tile the map from its top left corner; the last ones may reach beyond it. In window
    (y, x), key (r, c) lies at row ``w y + m + offset_y + stretch_y (r - m)`` with m = (w - 1) / 2, and likewise its
    column. Keys and values are interpolated there between the four nearest positions, everything outside the map
    being zero, and then::

        score[(i, j), (r, c)] = scale * q . k + bias[i w + j, r w + c]
        out = softmax over the w x w keys of the scores, times the values

    An offset of 0 and a stretch of 1 give plain window attention. Places are relative to their window, so that half
    precision keeps them to a fraction of a position; the backends add up positions in float32 or float64.

    Args:
        query: (B, G, H, W, D), any strides.
        key: (B, G, H, W, D), any strides.
        value: (B, G, H, W, E), any strides.
        offset: (B, G, 2, ceil(H / w), ceil(W / w)), columns (x) before rows (y), in positions.
        stretch: the same shape, the window's size over w.
        bias: (G, w * w, w * w), or None for none.
        window_size: w.
        scale: of the content scores, D ** -0.5 by default.

    Returns:
        (B, G, H, W, E), in memory (B, H, W, G, E).

    Raises:
        ValueError: a shape or the window size is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Zhang et al., "VSA: Learning Varied-Size Window Attention in Vision Transformers", ECCV 2022,
    arXiv 2204.08446, equations 3 to 5. There, a stretch is 1 plus the predicted scale.
    """
    if window_size < 1:
        raise ValueError(f"{NAME}: window_size must be positive, got {window_size}")
    if query.dim() != 5 or query.shape != key.shape:
        raise ValueError(f"{NAME}: query {tuple(query.shape)} and key {tuple(key.shape)} must both be (B, G, H, W, D)")
    if value.dim() != 5 or value.shape[:4] != key.shape[:4]:
        raise ValueError(f"{NAME}: key {tuple(key.shape)} and value {tuple(value.shape)} must lie on one map")
    batch, groups, height, width, channels = query.shape
    expected = (batch, groups, 2, -(-height // window_size), -(-width // window_size))
    for name, tensor in (("offset", offset), ("stretch", stretch)):
        if tuple(tensor.shape) != expected:
            raise ValueError(f"{NAME}: {name} must be (B, G, 2, windows) = {expected}, got {tuple(tensor.shape)}")
    if bias is not None and tuple(bias.shape) != (groups, window_size**2, window_size**2):
        raise ValueError(
            f"{NAME}: bias must be {(groups, window_size**2, window_size**2)}, got shape {tuple(bias.shape)}"
        )
    return OPERATOR(query, key, value, offset, stretch, bias, window_size, channels**-0.5 if scale is None else scale)
