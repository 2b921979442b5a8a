"""The three encodings of a token's place: a learned table over rows and columns, angles of rotation, and sinusoids."""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.varlen_attention import rotate
from claimbench.reproductions.atoken.packing import Layout

__all__ = ["PositionTable", "angles", "rope_4d", "sinusoids"]

BASE = 10000.0


class PositionTable(nn.Module):
    """A learned square table over rows and columns, resized to the grid of each slice.

    Args:
        dim: channels C of an entry.
        entries: the number of entries, a square.
    """

    def __init__(self, dim: int, entries: int = 256) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(entries, dim))

    def forward(self, layout: Layout) -> Tensor:
        """Return the entry of each token (L, C): bilinear interpolation with antialiasing, in float32 at least."""
        side = isqrt(len(self.table))
        table = self.table.unflatten(0, (side, side)).permute(2, 0, 1).unsqueeze(0)
        table = table.float() if table.itemsize < 4 else table
        resized = [
            F.interpolate(table, grid, mode="bilinear", align_corners=False, antialias=True)[0].flatten(1).T
            for grid in layout.grids
        ]
        found = torch.cat(resized) if resized else self.table
        return found[layout.cells.to(found.device)].to(self.table.dtype)


def angles(coords: Tensor, head_dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (L, 4 (head_dim // 8)) of the angles of rotary position embedding in four axes.

    The pairs of channels belong to t, h, w and z in turn, head_dim // 8 of them each; pair i of an axis turns by
    ``coordinate * 10000 ** (-i / head_dim)``.

    Args:
        coords: (L, 4), integers: t, h, w, z.
        head_dim: the channels of a head.
        dtype: of the result, float32 or float64.
    """
    steps = torch.arange(head_dim // 8, dtype=dtype, device=coords.device)
    turned = (coords.to(dtype)[:, :, None] * BASE ** (-steps / head_dim)).flatten(1)
    return turned.cos(), turned.sin()


def rope_4d(q: Tensor, k: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys (L, heads, d), turned by the angles of their coordinates (L, 4).

    Inside the model :func:`claimbench.kernels.varlen_attention.varlen_attention` does this.
    """
    cos, sin = angles(coords, q.shape[-1], torch.float64 if q.dtype == torch.float64 else torch.float32)
    return rotate(q, cos, sin), rotate(k, cos, sin)


def sinusoids(coords: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """Return the fixed code (L, dim) of coordinates (L, 3): sines, then cosines of each axis, zeros at the end."""
    count = dim // 6
    steps = torch.arange(count, dtype=dtype, device=coords.device) / count
    turned = coords.to(dtype)[:, :, None] / BASE**steps
    return F.pad(torch.cat((turned.sin(), turned.cos()), dim=-1).flatten(1), (0, dim - 6 * count))
