"""ConViT: ten blocks of gated positional attention on the patches, then two ordinary ones with the class token."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.convit.attention import GatedPositionalAttention
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import add_feed_forward, drop_path_rates

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class Block(nn.Module):
    """Pre-norm transformer block; ``positional`` chooses gated positional attention."""

    def __init__(self, config: Mapping[str, Any], drop_path: float, *, positional: bool) -> None:
        super().__init__()
        dim, heads = config["embed_dim"], config["num_heads"]
        self.norm1 = LayerNorm(dim)
        self.attn: nn.Module
        if positional:
            self.attn = GatedPositionalAttention(dim, heads, config.get("locality_strength", 1.0))
        else:
            self.attn = SelfAttention(dim, heads, config.get("qkv_bias", False))
        self.positional = positional
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, int(config.get("mlp_ratio", 4) * dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Update the tokens (B, N, C); the grid matters to positional attention only."""
        normed = self.norm1(x)
        x = x + self.drop_path(self.attn(normed, grid) if self.positional else self.attn(normed))
        return add_feed_forward(x, self.norm2, self.mlp, self.drop_path)


class ConViT(nn.Module):
    """The network: (B, 3, H, W), H and W multiples of the patch size, to (B, num_classes).

    The position embedding belongs to the grid of ``img_size``; other sizes raise ValueError. The class token joins just
    before the first ordinary block (``local_up_to_layer``).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, depth, patch = config["embed_dim"], config["depth"], config.get("patch_size", 16)
        self.patch_size = patch
        self.img_size = config.get("img_size", 224)
        self.local_up_to_layer = config.get("local_up_to_layer", 10)
        side = self.img_size // patch
        self.patch_embed = nn.Conv2d(config.get("in_chans", 3), dim, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side, dim)) if config.get("use_pos_embed", True) else None
        (rates,) = drop_path_rates(config.get("drop_path", 0.0), [depth])
        self.blocks = nn.ModuleList(
            Block(config, rate, positional=i < self.local_up_to_layer) for i, rate in enumerate(rates)
        )
        self.norm = LayerNorm(dim)
        classes = config.get("num_classes", 1000)
        self.head = nn.Linear(dim, classes) if classes else nn.Identity()
        self._init_weights()

    def _init_weights(self) -> None:
        trunc_normal_(self.cls_token, std=0.02)
        if self.pos_embed is not None:
            trunc_normal_(self.pos_embed, std=0.02)
        self.apply(linear_layers)
        # After the general rule, because it overwrites the value and position projections.
        for module in self.modules():
            if isinstance(module, GatedPositionalAttention):
                module.init_as_convolution()

    def forward_tokens(self, x: Tensor) -> Tensor:
        """Return the normed tokens (B, 1 + N, C), class token first."""
        if x.shape[-2:] != (self.img_size, self.img_size) and self.pos_embed is not None:
            raise ValueError(
                f"this ConViT was built for {self.img_size}x{self.img_size} inputs, got {x.shape[-2]}x{x.shape[-1]}: "
                f"build it with img_size set"
            )
        patches = self.patch_embed(x)
        grid = patches.shape[-2:]
        # All blocks keep the layout token by token.
        tokens = patches.flatten(2).transpose(1, 2).contiguous()
        if self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        for i, block in enumerate(self.blocks):
            if i == self.local_up_to_layer:
                tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1).to(tokens.dtype), tokens), dim=1)
            tokens = block(tokens, grid)
        return self.norm(tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes)."""
        return self.head(self.forward_tokens(x)[:, 0])


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"convit has the form 'model' only, not {form!r}")
    return ConViT(config)
