"""The two attentions of DaViT, section 3 of the paper. Maps are (B, H, W, C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.layers import only_result_counts


class WindowAttention(SelfAttention):
    """Self-attention within windows that tile the map: no shift, no relative position bias (section 3.2).

    Zeros at the right and the bottom complete a map to whole windows. Those positions are attended to as well: their
    keys and values are the biases. PyTorch's fused attention, with the copies that it needs, was measured to be as fast
    on a CPU as ``local_block_attention`` without a halo.

    Args:
        dim: channels C.
        num_heads: heads; C is divided among them.
        window: the side of a window.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, dim: int, num_heads: int, window: int, qkv_bias: bool) -> None:
        super().__init__(dim, num_heads, qkv_bias)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window of the map (B, H, W, C)."""
        height, width, side = x.shape[1], x.shape[2], self.window
        padded = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        tiles = padded.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)  # (B, rows, columns, s, s, C)
        attended = super().forward(tiles.reshape(-1, side * side, x.shape[-1])).view(tiles.shape)
        return attended.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :height, :width]


class ChannelAttention(SelfAttention):
    """Self-attention among the channels of each head, with all N positions as features (section 3.3).

        out = softmax(K^T V / sqrt(d)) Q^T, transposed

    for Q, K, V (N, d) of a head. The score matrix is d x d, so the cost grows linearly with N. As in the official code,
    the projection to queries plays the part of the values.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Attend among the channels of the map (B, H, W, C)."""
        tokens = x.flatten(1, 2)
        if tokens.shape[1] > tokens.shape[2] and only_result_counts(x, self) and _is_precise(x):
            return self._projected_once(tokens).view(x.shape)
        q, k, v = self.heads(tokens)
        return self.join(q @ self._scores(k, v).transpose(-2, -1)).view(x.shape)

    @staticmethod
    def _scores(k: Tensor, v: Tensor) -> Tensor:
        return ((k.transpose(-2, -1) * k.shape[-1] ** -0.5) @ v).softmax(-1)

    def _projected_once(self, tokens: Tensor) -> Tensor:
        """Return the output for tokens (B, N, C) by one linear map of the tokens for each picture.

        Scores do not depend on the position. The projection to queries, the mixing of each head's channels and the
        output projection are therefore one C x C matrix, which is less work if N > C.
        """
        query, rest = self.qkv.weight.split((tokens.shape[-1], 2 * tokens.shape[-1]))
        bias = None if self.qkv.bias is None else self.qkv.bias[len(query) :]
        k, v = F.linear(tokens, rest, bias).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = self._scores(k, v)  # (B, h, d, d)
        mix = self.proj.weight.unflatten(1, (self.num_heads, -1)).transpose(0, 1) @ scores  # (B, h, C, d)
        mix = mix.transpose(1, 2).flatten(2)  # (B, C, C), from queries to the projected output
        shift = self.proj.bias
        if self.qkv.bias is not None:
            shift = shift + mix @ self.qkv.bias[: len(query)]
        return torch.baddbmm(shift.view(-1, 1, len(query)), tokens, (mix @ query).transpose(1, 2))


def _is_precise(x: Tensor) -> bool:
    """Return whether a product of three matrices may be rounded before it is used."""
    return x.dtype.itemsize >= 4 and not torch.is_autocast_enabled(x.device.type)
