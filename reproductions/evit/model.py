"""EViT: a DeiT that drops its least attentive tokens in a few blocks, between attention and MLP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.token_reorganize import token_reorganize
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import add_feed_forward, drop_path_rates, only_result_counts


def class_attention(q: Tensor, k: Tensor) -> Tensor:
    """Return the attention of the class token to each other token, averaged over heads: (B, N - 1) (section 3.2).

    Only the class token's row is computed, so that the attention itself may run in a fused kernel that never shows its
    probabilities.

    Args:
        q, k: queries and keys (B, heads, N, d), the class token first.
    """
    row = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return row.softmax(-1)[:, :, 0, 1:].mean(dim=1)


class Attention(SelfAttention):
    """Multi-head self-attention that can also return the attention of the class token to each token."""

    def attend(self, x: Tensor, with_scores: bool) -> tuple[Tensor, Tensor | None]:
        """Return the attended tokens (B, N, C) and, if asked for, the scores (B, N - 1)."""
        q, k, v = self.heads(x)
        scores = class_attention(q, k) if with_scores else None
        return self.join(F.scaled_dot_product_attention(q, k, v)), scores


class Block(nn.Module):
    """Pre-norm transformer block that keeps a share ``keep_rate`` of its tokens; 1 keeps them all."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        qkv_bias: bool,
        eps: float,
        drop_path: float,
        keep_rate: float,
        fuse: bool,
    ) -> None:
        super().__init__()
        if not 0 < keep_rate <= 1:
            raise ValueError(f"keep_rate must be above 0 and at most 1, got {keep_rate}")
        self.keep_rate, self.fuse = keep_rate, fuse
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def kept(self, others: int, keep_rate: float | None = None) -> int:
        """Return the number of ``others`` tokens that are kept; the class token is not counted.

        ``keep_rate`` replaces the block's own while training anneals it. A block built to keep all its tokens keeps
        them at every rate.
        """
        rate = self.keep_rate if keep_rate is None else keep_rate
        return math.ceil(rate * others) if self.keep_rate < 1 and rate < 1 else others

    def forward(self, x: Tensor, keep_rate: float | None = None) -> tuple[Tensor, Tensor | None]:
        """Map tokens (B, N, C) to (B, N', C); also return the scores (B, N - 1) by which they were kept, if any."""
        others = x.shape[1] - 1
        keep = self.kept(others, keep_rate)
        attended, scores = self.attn.attend(self.norm1(x), with_scores=keep < others)
        x = x + self.drop_path(attended)
        if scores is not None:
            x = token_reorganize(x, scores.to(x.dtype), keep, self.fuse)
        return add_feed_forward(x, self.norm2, self.mlp, self.drop_path), scores

    def class_token(self, x: Tensor) -> Tensor:
        """Return the first token (B, 1, C) that the block makes of the tokens (B, N, C)."""
        cls = x[:, :1] + self.drop_path(self.attn.first(self.norm1(x)))
        return add_feed_forward(cls, self.norm2, self.mlp, self.drop_path)


class EViT(nn.Module):
    """The network: (B, 3, H, W) to (B, num_classes), H and W multiples of the patch size.

    Inputs with as many patches as ``img_size`` has use the position embedding as it is; other square inputs
    interpolate it (bicubic); others raise ValueError.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, depth = config["embed_dim"], config["depth"]
        size, self.patch_size = config.get("img_size", 224), config.get("patch_size", 16)
        height, width = (size, size) if isinstance(size, int) else size
        patches = (height // self.patch_size) * (width // self.patch_size)
        self.patch_embed = nn.Conv2d(config.get("in_chans", 3), dim, self.patch_size, stride=self.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, dim))
        (rates,) = drop_path_rates(config.get("drop_path", 0.0), [depth])
        dropping = set(config.get("drop_loc", ()))
        eps = float(config.get("ln_eps", 1e-6))
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config["num_heads"],
                config.get("mlp_ratio", 4.0),
                config.get("qkv_bias", True),
                eps,
                rate,
                config.get("keep_rate", 1.0) if i in dropping else 1.0,
                config.get("fuse_token", False),
            )
            for i, rate in enumerate(rates)
        )
        self.norm = nn.LayerNorm(dim, eps=eps)
        classes = config.get("num_classes", 1000)
        self.head = nn.Linear(dim, classes) if classes else nn.Identity()
        trunc_normal_(self.pos_embed, std=0.02)
        trunc_normal_(self.cls_token, std=0.02)
        self.apply(linear_layers)

    def position_embedding(self, height: int, width: int) -> Tensor:
        """Return the position embedding (1, 1 + height * width, C) for a grid of patches."""
        known = self.pos_embed.shape[1] - 1
        if height * width == known:
            return self.pos_embed
        side = math.isqrt(known)
        if height != width or side * side != known:
            raise ValueError(
                f"this EViT was built for {known} patches, got {height}x{width}: only square inputs can be "
                f"interpolated, build it with img_size set"
            )
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        resized = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)), dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens (B, 1 + N, C) that enter the first block, class token first."""
        patches = self.patch_embed(x)
        tokens = patches.flatten(2).transpose(1, 2)
        cls = self.cls_token.expand(len(x), -1, -1).to(tokens.dtype)
        return torch.cat((cls, tokens), dim=1) + self.position_embedding(*patches.shape[2:])

    def forward_tokens(self, x: Tensor, keep_rate: float | None = None) -> Tensor:
        """Return the normed tokens that are left (B, N', C), class token first."""
        tokens = self.embed(x)
        for block in self.blocks:
            tokens, _ = block(tokens, keep_rate)
        return self.norm(tokens)

    def forward(self, x: Tensor, keep_rate: float | None = None) -> Tensor:
        """Return the logits (B, num_classes); ``keep_rate`` replaces that of the dropping blocks."""
        if not only_result_counts(x, self):
            return self.head(self.forward_tokens(x, keep_rate)[:, 0])
        tokens = self.embed(x)
        for block in self.blocks[:-1]:
            tokens, _ = block(tokens, keep_rate)
        # The head reads the class token alone, and whichever tokens the last block drops were attended to before.
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return self.head(self.norm(last.class_token(tokens))[:, 0])


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"evit has the form 'model' only, not {form!r}")
    return EViT(config)
