"""Biased attention within the windows that tile a map, shifted or not, on the operator of this folder."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels import backend
from claimbench.kernels.biased_attention import reference
from claimbench.kernels.operator import Operator

Span = tuple[int, int, int]
"""Start, length and window side of a stretch along one axis that whole windows fill."""


def _spans(length: int, window: int, shift: int) -> list[Span]:
    """Return the parts of an axis: whole windows, between the two parts of the window that a shift cuts in two."""
    if not shift:
        return [(0, length, window)]
    cuts = [
        (0, shift, shift),
        (shift, length - window, window),
        (length - window + shift, window - shift, window - shift),
    ]
    return [cut for cut in cuts if cut[1]]


def _windows(x: Tensor, rows: Span, columns: Span) -> Tensor:
    """Return the windows of a stretch of the map (B, H, W, G, d) as the operator takes them: (B Y, X, G, h, w, d)."""
    x = x[:, rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]]
    x = x.unflatten(2, (-1, columns[2])).unflatten(1, (-1, rows[2]))  # (B, Y, h, X, w, G, d)
    return x.flatten(0, 1).permute(0, 2, 4, 1, 3, 5)


def _piece(
    operator: Operator, maps: tuple[Tensor, ...], table: Tensor, scale: float, rows: Span, columns: Span
) -> Tensor:
    """Return the attended values of one stretch of the map: (B, rows, columns, G, D)."""
    up, left = ((table.shape[i] - (2 * cut[2] - 1)) // 2 for i, cut in ((1, rows), (2, columns)))
    own = table[:, up : table.shape[1] - up, left : table.shape[2] - left]
    out = operator(*(_windows(x, rows, columns) for x in maps), own, None, scale)
    out = out.permute(0, 3, 1, 4, 2, 5)  # (B Y, h, X, w, G, D)
    return out.reshape(maps[0].shape[0], rows[1], columns[1], *out.shape[4:])


def attend(
    operator: Operator, query: Tensor, key: Tensor, value: Tensor, table: Tensor, window: int, shift: int, scale: float
) -> Tensor:
    """See :func:`claimbench.kernels.biased_attention.window_attention`."""
    if query.is_meta or backend.override() == "reference":
        return _masked(query, key, value, table, window, shift, scale)
    maps = (query, key, value)
    bands = []
    for rows in _spans(query.shape[1], window, shift):
        columns = _spans(query.shape[2], window, shift)
        pieces = [_piece(operator, maps, table, scale, rows, cut) for cut in columns]
        bands.append(pieces[0] if len(pieces) == 1 else torch.cat(pieces, 2))
    return bands[0] if len(bands) == 1 else torch.cat(bands, 1)


def _masked(query: Tensor, key: Tensor, value: Tensor, table: Tensor, window: int, shift: int, scale: float) -> Tensor:
    """Attend by the definition: a cyclic shift, and a mask between positions that it brings together from both ends."""
    batch, height, width = query.shape[:3]
    whole = ((0, height, window), (0, width, window))
    q, k, v = (_windows(x.roll((-shift, -shift), (1, 2)), *whole).flatten(3, 4) for x in (query, key, value))
    scores = scale * q @ k.transpose(-2, -1) + reference.pair_bias(table.to(q.dtype), window, window)
    if shift:
        places = (torch.arange(side, device=query.device) >= side - shift for side in (height, width))
        down, across = places  # which rows and columns came round from the other end
        region = (2 * down[:, None] + across)[None, ..., None, None]
        region = _windows(region, *whole).flatten(3)  # (Y, X, 1, window^2)
        apart = (region[..., None, :] != region[..., :, None]).repeat(batch, 1, 1, 1, 1)
        scores = scores.masked_fill(apart, float("-inf"))
    out = (scores.softmax(-1) @ v).unflatten(3, (window, window)).permute(0, 3, 1, 4, 2, 5)
    return out.reshape(batch, height, width, *out.shape[4:]).roll((shift, shift), (1, 2))
