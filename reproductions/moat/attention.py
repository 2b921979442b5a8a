"""MOAT's attention: global or in windows that do not shift, with a learned bias for each relative position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.biased_attention import biased_attention

__all__ = ["WindowAttention", "resize_table"]


def _taps(size: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each of ``target`` places, its two neighbours among ``size`` and its distance from the first."""
    place = (torch.arange(target, device=device, dtype=torch.float32) + 0.5) * (size / target) - 0.5
    lower = place.floor()
    fraction = place - lower
    return lower.long().clamp(min=0), place.ceil().long().clamp(max=size - 1), fraction


def resize_table(table: Tensor, height: int, width: int) -> Tensor:
    """Resize (heads, H, W) to (heads, height, width) bilinearly, with half-pixel centres and no antialiasing.

    As in ``tf.image.resize``, the arithmetic is in float32 for every dtype, first along the rows. A float64 model then
    equals the official one to more digits than float32 holds.
    """
    if table.shape[1:] == (height, width):
        return table
    top, bottom, down = _taps(table.shape[1], height, table.device)
    left, right, across = _taps(table.shape[2], width, table.device)
    values = table.float()
    start, end = values[:, :, left], values[:, :, right]
    values = start + (end - start) * across
    start, end = values[:, top], values[:, bottom]
    return (start + (end - start) * down[:, None]).to(table.dtype)


class WindowAttention(nn.Module):
    """Multi-head attention among the positions of each window, after a LayerNorm.

    Args:
        dim: C.
        head_size: the channels of a head.
        window: (height, width) of a window, or None for one window over the whole map.
        table_size: the window side that the table of biases is made for, or None for no bias. For other windows the
            table is resized.
        eps: the eps of the LayerNorm.
    """

    def __init__(
        self, dim: int, head_size: int, window: tuple[int, int] | None, table_size: int | None, eps: float
    ) -> None:
        super().__init__()
        self.heads = dim // head_size
        self.window = window
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.project = nn.Linear(dim, dim)
        self.table: nn.Parameter | None = None
        if table_size is not None:
            side = 2 * table_size - 1
            self.table = nn.Parameter(torch.empty(self.heads, side, side))
            nn.init.normal_(self.table, std=0.02)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix the values (B', heads, h, w, d) of windows of h x w positions."""
        if self.table is None:
            flat = F.scaled_dot_product_attention(query.flatten(2, 3), key.flatten(2, 3), value.flatten(2, 3))
            return flat.view_as(value)
        height, width = query.shape[2:4]
        table = resize_table(self.table, 2 * height - 1, 2 * width - 1)
        return biased_attention(query, key, value, table.to(query.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W).

        Raises:
            ValueError: the map is not a whole number of windows.
        """
        batch, dim, height, width = x.shape
        rows, columns = self.window or (height, width)
        if height % rows or width % columns:
            raise ValueError(f"moat: windows of {rows}x{columns} do not tile a map of {height}x{width}")
        tokens = self.norm(x.permute(0, 2, 3, 1))
        windows = tokens.unflatten(2, (-1, columns)).unflatten(1, (-1, rows)).transpose(2, 3)
        flat = windows.reshape(-1, rows, columns, dim)
        query, key, value = (
            projection(flat).unflatten(3, (self.heads, -1)).permute(0, 3, 1, 2, 4)
            for projection in (self.query, self.key, self.value)
        )
        mixed = self.project(self.attend(query, key, value).permute(0, 2, 3, 1, 4).flatten(3))
        return mixed.reshape(windows.shape).transpose(2, 3).reshape(batch, height, width, dim).permute(0, 3, 1, 2)
