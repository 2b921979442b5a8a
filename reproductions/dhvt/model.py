"""DHVT: a vision transformer for small data, with convolutions in embedding and feed-forward, and head tokens.

Lu et al., "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",
NeurIPS 2022, arXiv 2210.05958.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import DropPath, trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.folding import conv_norm, fold_after, is_affine
from claimbench.reproductions.inference import pointwise
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.inplace import add, gelu
from claimbench.reproductions.layers import DepthwiseConv2d, channels_last, drop_path_rates

__all__ = ["DHVT", "build"]

Grid = tuple[int, int]


class Affine(nn.Module):
    """scale * x + shift for each channel of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return torch.addcmul(self.shift, x, self.scale)


class SequentialOverlappingEmbed(nn.Module):
    """SOPE: Affine, log2(patch_size) strided 3x3 convolutions with BatchNorm, Affine (section 3.2).

    A GELU stands between the convolutions. As in the official code, the last one has a GELU for patches of 2 only.

    Args:
        channels: the channels of the picture.
        dim: the channels of the output; each earlier convolution has half of the next one's.
        patch_size: 2, 4 or 16.
    """

    def __init__(self, channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        if patch_size not in (2, 4, 16):
            raise ValueError(f"dhvt: patch_size must be 2, 4 or 16, got {patch_size}")
        halvings = patch_size.bit_length() - 1
        dims = [channels, *(dim // 2**i for i in reversed(range(halvings)))]
        self.before = Affine(channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(dims[i], dims[i + 1], 3, stride=2, padding=1, bias=False) for i in range(halvings)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in dims[1:])
        self.after = Affine(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, dim, ceil(H / patch_size), ceil(W / patch_size))."""
        x = self.before(x)
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            x = conv_norm(x, conv, norm)
            if i < len(self.convs) - 1 or len(self.convs) == 1:
                x = gelu(x)
        return self.after(x)


class HeadTokens(nn.Module):
    """One token for each attention head, made from that head's channels of all tokens (section 3.4).

    Maps (B, N, C) to (B, heads, C). The mean over tokens of each head's C / heads channels is projected to C,
    normalised and activated in pieces of C / heads, and a learned embedding is added.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim // heads, dim)
        self.norm = nn.LayerNorm(dim // heads)
        self.position = nn.Parameter(torch.zeros(1, heads, dim))
        trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Summarise the tokens (B, N, C)."""
        summary = self.project(x.mean(1).unflatten(-1, (self.heads, -1)))
        pieces = summary.unflatten(-1, (self.heads, -1))
        return F.gelu(self.norm(pieces)).flatten(2) + self.position


class Attention(nn.Module):
    """Attention over class token, patches and head tokens; the mean head token is added to the class token."""

    def __init__(self, dim: int, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.head_tokens = HeadTokens(dim, heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1 + N, C) to (B, 1 + N, C), class token first."""
        tokens = x.shape[1]
        qkv = self.qkv(torch.cat([x, self.head_tokens(x)], dim=1))
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        cls, patches, head_tokens = mixed.split((1, tokens - 1, self.heads), dim=1)
        return torch.cat([cls + head_tokens.mean(1, keepdim=True), patches], dim=1)


class DynamicAggregationFeedForward(nn.Module):
    """DAFF: an inverted bottleneck with a depthwise 3x3 on the patches, whose mean gates the class token (section 3.3).

    The patches become BN(reduce(s + GELU(BN(depthwise(s))))) with s = GELU(BN(expand(patches))); the class token is
    multiplied by excite(GELU(squeeze(mean of the new patches))), without a sigmoid.
    """

    def __init__(self, dim: int, hidden: int, reduction: int = 4) -> None:
        super().__init__()
        self.expand = nn.Conv2d(dim, hidden, 1)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.depthwise = DepthwiseConv2d(hidden, 3)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.reduce = nn.Conv2d(hidden, dim, 1)
        self.norm3 = nn.BatchNorm2d(dim)
        self.squeeze = nn.Linear(dim, dim // reduction)
        self.excite = nn.Linear(dim // reduction, dim)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Map (B, 1 + N, C) to (B, 1 + N, C), class token first, the N patches in rows of ``grid``."""
        cls, patches = x[:, :1], x[:, 1:]
        pieces = patches.transpose(1, 2).unflatten(2, grid)
        if is_affine(x, self.norm1, self.norm2, self.norm3):
            expanded = gelu(pointwise(pieces, *fold_after(self.expand.weight, self.expand.bias, self.norm1)))
            expanded = add(gelu(conv_norm(expanded, self.depthwise, self.norm2)), expanded)
            reduced = pointwise(expanded, *fold_after(self.reduce.weight, self.reduce.bias, self.norm3))
        else:
            expanded = F.gelu(self.norm1(self.expand(pieces)))
            expanded = expanded + F.gelu(self.norm2(self.depthwise(expanded)))
            reduced = self.norm3(self.reduce(expanded))
        patches = reduced.flatten(2).transpose(1, 2)
        weight = self.excite(F.gelu(self.squeeze(patches.mean(1, keepdim=True))))
        return torch.cat([cls * weight, patches], dim=1)


class Block(nn.Module):
    """x + Attention(norm(x)), then x + DAFF(norm(x))."""

    def __init__(self, dim: int, heads: int, hidden: int, qkv_bias: bool, drop_path: float, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attention = Attention(dim, heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.feed_forward = DynamicAggregationFeedForward(dim, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Map (B, 1 + N, C) to (B, 1 + N, C)."""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.feed_forward(self.norm2(x), grid))


class DHVT(nn.Module):
    """Overlapping embedding, a class token, the blocks, LayerNorm, one linear layer on the class token.

    There is no position embedding, so any picture size will do.

    Args:
        embed_dim: the channels.
        depth: the number of blocks.
        num_heads: the attention heads, which is also the number of head tokens.
        patch_size: 2, 4 or 16.
        mlp_ratio: the expansion of the feed-forward network.
        qkv_bias: whether query, key and value have a bias.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
        norm_eps: the eps of the LayerNorms of blocks and output.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        patch_size: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_path: float = 0.0,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.embed = SequentialOverlappingEmbed(in_channels, embed_dim, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        hidden = int(embed_dim * mlp_ratio)
        (rates,) = drop_path_rates(drop_path, [depth])
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, hidden, qkv_bias, rate, norm_eps) for rate in rates)
        self.norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.head = nn.Linear(embed_dim, num_classes)
        self.apply(linear_layers)
        trunc_normal_(self.cls_token, std=0.02)

    def forward_tokens(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Return the normed tokens (B, 1 + N, C), class token first, and the rows and columns of the N patches."""
        x = self.embed(channels_last(x))
        grid = (x.shape[2], x.shape[3])
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        for block in self.blocks:
            x = block(x, grid)
        return self.norm(x), grid

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the one map (B, C, H / patch_size, W / patch_size) of normed patch tokens."""
        tokens, grid = self.forward_tokens(x)
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, grid)]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.head(self.forward_tokens(x)[0][:, 0])


def build(config: Mapping[str, Any], form: str = "model") -> DHVT:
    """Return a randomly initialised DHVT; ``config`` holds the arguments of :class:`DHVT`.

    Raises:
        ValueError: there is no form of that name, or no embedding for that patch size.
    """
    if form != "model":
        raise ValueError(f"dhvt has the form 'model' only, got {form!r}")
    return DHVT(**config)
