"""The heads: attention-to-mask (SegViT), upsampling (SETR) and the mask transformer (Segmenter)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.query_attention import query_attention
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.dtop.backbone import Block
from claimbench.reproductions.dtop.packing import Packing, whole
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import ConvNorm2d, drop_path_rates

__all__ = ["AtmHead", "DecoderLayer", "MaskTransformerHead", "Prediction", "UpsamplingHead"]


class Prediction(NamedTuple):
    """What an attention-to-mask head says.

    ``class_logits`` (B, classes, 2) tell whether each class is present (first entry) or absent; ``canvas``
    (B, N, classes) holds the mask logits of all tokens, those that left before with the logits of their exit.
    """

    class_logits: Tensor
    canvas: Tensor

    def scores(self) -> Tensor:
        """Return the score (B, classes, N) of each class for each token; they are not normalised over classes."""
        present = self.class_logits.softmax(-1)[..., 0]
        return (self.canvas.sigmoid() * present[:, None]).transpose(1, 2)


class CrossAttention(nn.Module):
    """Attention from class queries to tokens that also gives the mean of the raw scores over heads.

    Args:
        dim: channels of queries and tokens.
        num_heads: heads among which they are divided.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return attended queries (B, Q, C) and scores (T, Q).

        Args:
            queries: (B, Q, C), or (1, Q, C) for all images.
            tokens: (T, C), packed.
            offsets: (B + 1,), the cumulative numbers of tokens.
        """
        q = self.q(queries).unflatten(2, (self.num_heads, -1))
        key, value = self.kv(tokens).unflatten(1, (2, self.num_heads, -1)).unbind(1)
        values, scores = query_attention(q, key, value, offsets)
        return self.proj(values.flatten(2)), scores


class DecoderLayer(nn.Module):
    """Post-norm decoder layer: class queries attend among themselves, then to the tokens.

    Args:
        dim: channels C.
        num_heads: heads of both attentions.
        hidden: channels inside the feed-forward part; None for 4 C.
        dropout: in training, of the three branches and of the hidden channels.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int | None = None, dropout: float = 0.1) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"{dim} channels do not divide among {num_heads} heads")
        hidden = hidden or 4 * dim
        self.self_attn = SelfAttention(dim, num_heads, qkv_bias=True)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries (B, Q, C) and the raw scores of their attention to the tokens (T, Q).

        Args:
            queries: (B, Q, C), or (1, Q, C) for all images.
            tokens: (T, C), packed.
            offsets: (B + 1,), the cumulative numbers of tokens.
        """
        queries = self.norm1(queries + self.dropout(self.self_attn(queries)))
        attended, scores = self.cross_attn(queries, tokens, offsets)
        queries = self.norm2(queries + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.norm3(queries + self.dropout(self.linear2(hidden))), scores


class AtmHead(nn.Module):
    """Attention-to-mask head: a learned query for each class, and its attention to the tokens as its mask.

    Args:
        in_channels: of the tokens.
        dim: channels C of the head.
        num_heads: heads of its attentions.
        layers: decoder layers.
        classes: their number Q.
    """

    def __init__(self, in_channels: int, dim: int, num_heads: int, layers: int, classes: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(in_channels, dim)
        self.proj_norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(DecoderLayer(dim, num_heads) for _ in range(layers))
        self.queries = nn.Embedding(classes, dim)
        self.class_embed = nn.Linear(dim, 2)
        self.apply(linear_layers)

    def forward(self, rows: Tensor, packing: Packing, canvas: Tensor | None = None) -> Prediction:
        """Return the prediction from the tokens that are alive.

        Args:
            rows: (T, C), their features.
            packing: of the rows.
            canvas: (B, N, Q), the mask logits of an earlier head, which stay where a token left; None if none did.
        """
        tokens = self.proj_norm(self.input_proj(rows))
        queries = self.queries.weight[None].to(tokens.dtype)
        if self.training:  # dropout differs from image to image
            queries = queries.expand(packing.batch, -1, -1)
        scores = tokens
        for layer in self.layers:
            queries, scores = layer(queries, tokens, packing.offsets)
        return Prediction(self.class_embed(queries), packing.spread(scores, canvas))


class UpsamplingHead(nn.Module):
    """SETR's naive head: norm, 1x1 convolution, upsampling, classifier.

    Args:
        in_channels: of the features.
        dim: channels of the convolution.
        classes: their number.
        scale: of the upsampling.
    """

    def __init__(self, in_channels: int, dim: int, classes: int, scale: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_channels, eps=1e-6)
        self.conv = ConvNorm2d(in_channels, dim, 1, bias=False)
        self.classifier = nn.Conv2d(dim, classes, 1)
        self.scale = scale

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return scores (B, classes, scale h, scale w) from tokens (B, h w, C)."""
        maps = self.norm(tokens).transpose(1, 2).unflatten(2, grid)
        maps = F.relu(self.conv(maps))
        maps = F.interpolate(maps, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.classifier(maps)


class MaskTransformerHead(nn.Module):
    """Segmenter's head: class tokens go through blocks with the patches; masks are their normed products.

    Args:
        in_channels: of the features.
        dim: channels C of the blocks.
        num_heads: heads of their attention.
        layers: blocks.
        classes: their number Q.
        drop_path: the rate of the last block in training; it rises from 0.
    """

    def __init__(
        self, in_channels: int, dim: int, num_heads: int, layers: int, classes: int, drop_path: float = 0.1
    ) -> None:
        super().__init__()
        (rates,) = drop_path_rates(drop_path, [layers])
        self.blocks = nn.ModuleList(Block(dim, num_heads, drop_path=rate) for rate in rates)
        self.input_proj = nn.Linear(in_channels, dim)
        self.class_tokens = nn.Parameter(torch.zeros(1, classes, dim))
        self.patch_proj = nn.Linear(dim, dim, bias=False)
        self.class_proj = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.mask_norm = nn.LayerNorm(classes)
        trunc_normal_(self.class_tokens, std=0.02)
        self.apply(linear_layers)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return scores (B, Q, h, w) from tokens (B, h w, C)."""
        x = self.input_proj(tokens)
        classes = self.class_tokens.expand(len(x), -1, -1).to(x.dtype)
        x = torch.cat((x, classes), dim=1)
        packing = whole(*x.shape[:2])
        rows = x.flatten(0, 1)
        for block in self.blocks:
            rows = block(rows, packing)
        patches, classes = self.norm(rows.view(x.shape)).split((tokens.shape[1], classes.shape[1]), dim=1)
        patches, classes = self.patch_proj(patches), self.class_proj(classes)
        masks = F.normalize(patches, dim=-1) @ F.normalize(classes, dim=-1).transpose(1, 2)
        return self.mask_norm(masks).transpose(1, 2).unflatten(2, grid)
