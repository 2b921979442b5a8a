"""Varied-size window attention, section 3 of the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.varied_window_attention import varied_window_attention
from claimbench.reproductions.map_attention import relative_position_index

__all__ = ["VariedWindowAttention", "WindowAttention"]

LEAK = 0.01
"""The slope of the LeakyReLU ahead of the predictions."""


class WindowAttention(nn.Module):
    """Attention of (B, C, H, W) maps in fixed windows with relative position bias and an output projection.

    Args:
        dim: channels C of the input.
        dim_out: channels of the output, divided among the heads.
        num_heads: heads G.
        window_size: w. Windows at the right and at the bottom are completed with keys and values of zero.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads, self.window_size = num_heads, window_size
        # The official scale follows from the input's channels, even if the output has more or fewer.
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)
        self.bias_table = nn.Parameter(torch.empty((2 * window_size - 1) ** 2, num_heads))
        index = relative_position_index(window_size).T  # Swin's table counts query minus key positions
        self.register_buffer("position_index", index, persistent=False)
        trunc_normal_(self.bias_table, std=0.02)

    def bias(self) -> Tensor:
        """Return the relative position bias (G, w * w, w * w)."""
        index = self.position_index
        assert isinstance(index, Tensor)
        return self.bias_table.index_select(0, index.flatten()).unflatten(0, index.shape).permute(2, 0, 1)

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the attended values, all (B, G, H, W, D); ``x`` is the map that they were projected from."""
        height, width = x.shape[2:]
        window = self.window_size
        down, across = -(-height // window), -(-width // window)

        def windows(tokens: Tensor) -> Tensor:
            padded = F.pad(tokens, (0, 0, 0, -width % window, 0, -height % window))
            cut = padded.unflatten(3, (across, window)).unflatten(2, (down, window)).permute(0, 2, 4, 1, 3, 5, 6)
            return cut.flatten(4, 5).flatten(0, 2)  # (B Y X, G, w w, D)

        bias = self.bias().to(query.dtype)
        out = F.scaled_dot_product_attention(
            windows(query), windows(key), windows(value), attn_mask=bias, scale=self.scale
        )
        out = out.unflatten(0, (-1, down, across)).unflatten(4, (window, window)).permute(0, 3, 1, 4, 2, 5, 6)
        return out.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H, W)."""
        joined = self.qkv(x.permute(0, 2, 3, 1)).unflatten(-1, (3, self.num_heads, -1))
        out = self.attend(x, *joined.permute(3, 0, 4, 1, 2, 5).unbind(0))
        return self.proj(out.permute(0, 2, 3, 1, 4).flatten(3)).permute(0, 3, 1, 2)


class VariedWindowAttention(WindowAttention):
    """Attention in windows whose keys come from predicted places.

    Each head of each window averages the map over the default window and predicts from it the shift and the stretch of
    the window's keys. The shift is in units of the number of whole windows, so that no side of a map may be shorter
    than a window.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, window_size: int) -> None:
        super().__init__(dim, dim_out, num_heads, window_size)
        self.offsets = nn.Linear(dim, 2 * num_heads)
        self.scales = nn.Linear(dim, 2 * num_heads)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets, in positions, and stretches of the windows of x (B, C, H, W), each (B, G, 2, Y, X)."""
        height, width = x.shape[2:]
        window = self.window_size
        if min(height, width) < window:
            raise ValueError(f"vsa: a {height}x{width} map is smaller than the window of {window}: enlarge the picture")
        # Windows that reach beyond the map average the zeros there, too.
        pooled = F.avg_pool2d(x, window, ceil_mode=True, divisor_override=window * window)
        pooled = F.leaky_relu(pooled, LEAK).permute(0, 2, 3, 1)
        weight = torch.cat((self.offsets.weight, self.scales.weight))
        both = F.linear(pooled, weight, torch.cat((self.offsets.bias, self.scales.bias)))
        offset, scale = both.permute(0, 3, 1, 2).unflatten(1, (2, self.num_heads, 2)).unbind(1)
        # Predictions are in units of half the padded map over the number of whole windows.
        down, across = pooled.shape[1:3]
        unit = (window * across - 1) / (2 * (width // window)), (window * down - 1) / (2 * (height // window))
        return torch.stack((offset[:, :, 0] * unit[0], offset[:, :, 1] * unit[1]), dim=2), scale + 1

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the attended values, all (B, G, H, W, D); ``x`` is the map that the windows are predicted from."""
        offset, stretch = self.predict(x)
        return varied_window_attention(query, key, value, offset, stretch, self.bias(), self.window_size, self.scale)
