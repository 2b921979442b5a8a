"""The plain vision transformer under all heads, on packed rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.varlen_attention import varlen_attention
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.dtop.packing import Packing
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import add_feed_forward, drop_path_rates

__all__ = ["Block", "VisionTransformer", "grid_of"]

_KEEP = nn.Identity()


def grid_of(x: Tensor, patch: int) -> tuple[int, int]:
    """Return the rows and columns of patches of pictures (B, 3, H, W); parts of a patch at the end count as one.

    Raises:
        ValueError: the pictures are smaller than a patch.
    """
    height, width = x.shape[-2:]
    if min(height, width) < patch:
        raise ValueError(f"the picture has {width}x{height} pixels, which is less than a patch of {patch}")
    return -(-height // patch), -(-width // patch)


class Block(nn.Module):
    """Pre-norm transformer block on packed rows: each image attends among its own tokens.

    Args:
        dim: channels C.
        num_heads: heads of the attention.
        mlp_ratio: hidden channels over C.
        qkv_bias: whether queries, keys and values have a bias.
        eps: of the norms.
        drop_path: the share of images that skip a branch in training.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float = 4, qkv_bias: bool = True, eps: float = 1e-5,
        drop_path: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = SelfAttention(dim, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = drop_path

    def attend(self, rows: Tensor, packing: Packing) -> Tensor:
        """Return the output (T, C) of the attention among normed rows (T, C)."""
        if packing.alive is None:
            return self.attn(rows.view(packing.batch, packing.count, -1)).flatten(0, 1)
        q, k, v = self.attn.qkv(rows).unflatten(1, (3, self.attn.num_heads, -1)).unbind(1)
        return self.attn.proj(varlen_attention(q, k, v, packing.offsets).flatten(1))

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Map rows (T, C) to (T, C)."""
        attended = self.attend(self.norm1(rows), packing)
        if not (self.training and self.drop_path):
            return add_feed_forward(rows + attended, self.norm2, self.mlp, _KEEP)
        rows = rows + attended * self._kept(rows, packing)
        return rows + self.mlp(self.norm2(rows)) * self._kept(rows, packing)

    def _kept(self, rows: Tensor, packing: Packing) -> Tensor:
        """Return the factor (T, 1) of stochastic depth: zero for the images that skip, more than one for the others."""
        keep = 1 - self.drop_path
        return packing.per_row(rows.new_empty(packing.batch).bernoulli_(keep) / keep)


class VisionTransformer(nn.Module):
    """Patches, position embedding and blocks; the class token, if it is kept, is the first token of each image.

    Args:
        config: the variant's ``img_size``, ``patch_size``, ``embed_dims``, ``num_layers``, ``num_heads`` and, optional,
            ``in_channels``, ``mlp_ratio``, ``qkv_bias``, ``ln_eps``, ``drop_path``, ``with_cls_token``, ``final_norm``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, eps = config["embed_dims"], float(config.get("ln_eps", 1e-6))
        self.patch = config.get("patch_size", 16)
        size = config["img_size"]
        height, width = (size, size) if isinstance(size, int) else size
        self.grid = height // self.patch, width // self.patch
        self.keeps_class_token = bool(config.get("with_cls_token", False))
        self.patch_embed = nn.Conv2d(config.get("in_channels", 3), dim, self.patch, stride=self.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], dim))
        (rates,) = drop_path_rates(config.get("drop_path", 0.0), [config["num_layers"]])
        ratio, bias = config.get("mlp_ratio", 4), config.get("qkv_bias", True)
        self.blocks = nn.ModuleList(Block(dim, config["num_heads"], ratio, bias, eps, rate) for rate in rates)
        self.norm = nn.LayerNorm(dim, eps=eps) if config.get("final_norm", False) else nn.Identity()
        trunc_normal_(self.pos_embed, std=0.02)
        trunc_normal_(self.cls_token, std=0.02)
        self.apply(linear_layers)

    def position_embedding(self, height: int, width: int) -> Tensor:
        """Return the position embedding (1, 1 + height * width, C), resized (bicubic) for a grid of another size."""
        if (height, width) == self.grid:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, self.grid)
        resized = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)), dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens (B, N, C) of pictures (B, 3, H, W), padded with zeros to whole patches.

        Without the class token its position goes too, so that both are parameters without an effect.
        """
        height, width = grid_of(x, self.patch)
        x = F.pad(x, (0, width * self.patch - x.shape[-1], 0, height * self.patch - x.shape[-2]))
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2)
        position = self.position_embedding(height, width)
        if not self.keeps_class_token:
            return tokens + position[:, 1:]
        return torch.cat((self.cls_token.expand(len(x), -1, -1).to(tokens.dtype), tokens), dim=1) + position
