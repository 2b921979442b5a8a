"""The block of TNT and PyramidTNT: an inner transformer on words, a bridge, an outer transformer on sentences.

A sentence is a patch, its words are the small patches inside it. Words are (B * N, M, c) tensors, M words for each of
the N sentences; sentences are (B, N, C), in TNT with the class token in front.
"""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.layers import add_feed_forward


class PooledAttention(nn.Module):
    """Multi-head self-attention whose keys and values come from a pooled map (PyramidTNT).

    Args:
        dim: channels; divided among the heads.
        num_heads: attention heads.
        pool: side of the average pooling before keys and values.
    """

    def __init__(self, dim: int, num_heads: int, pool: int) -> None:
        super().__init__()
        self.num_heads, self.pool = num_heads, pool
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.pooled = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim))

    def forward(self, x: Tensor, grid: tuple[int, int], bias: Tensor) -> Tensor:
        """Attend among the tokens (B, N, C); ``bias`` (1, heads, N, N / pool^2) is added to the scores."""
        small = F.avg_pool2d(x.transpose(1, 2).unflatten(2, grid), self.pool)
        source = self.pooled(small.flatten(2).transpose(1, 2))
        q = self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(source).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(attended.transpose(1, 2).flatten(2))


class Attention(SelfAttention):
    """Multi-head self-attention, in PyramidTNT with a bias on the scores."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads, qkv_bias=False)

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None, bias: Tensor | None = None) -> Tensor:
        """Attend among the tokens (B, N, C); ``bias`` (1, heads, N, N) is added to the scores."""
        q, k, v = self.heads(x)
        mask = None if bias is None else bias.to(q.dtype)
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))


class InnerTransformer(nn.Module):
    """Attention and MLP among the words of each sentence, and the bridge that adds them to their sentence.

        words <- words + Attn(LN(words));  words <- words + MLP(LN(words))
        sentence <- sentence + LN(W LN(all words of the sentence))

    Args:
        dim: channels c of a word.
        sentence_dim: channels C of a sentence.
        num_words: words M in a sentence.
        num_heads: heads of the inner attention.
        joint_norm: whether a sentence's words are normalised together (PyramidTNT) or each alone (TNT).
    """

    def __init__(
        self, dim: int, sentence_dim: int, num_words: int, num_heads: int, mlp_ratio: float, joint_norm: bool
    ) -> None:
        super().__init__()
        width = num_words * dim
        self.joint_norm = joint_norm
        self.norm1 = nn.LayerNorm(width if joint_norm else dim)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(width if joint_norm else dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.bridge = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, sentence_dim, bias=False), nn.LayerNorm(sentence_dim)
        )

    def _normed(self, norm: nn.Module, words: Tensor) -> Tensor:
        return norm(words.flatten(1)).view_as(words) if self.joint_norm else norm(words)

    def forward(self, words: Tensor, sentences: Tensor, drop_path: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the new words (B * N, M, c) and sentences (B, N or 1 + N, C); a class token gets no words."""
        words = words + drop_path(self.attn(self._normed(self.norm1, words)))
        if self.joint_norm:
            words = words + drop_path(self.mlp(self._normed(self.norm2, words)))
        else:
            words = add_feed_forward(words, self.norm2, self.mlp, drop_path)
        batch, tokens, _ = sentences.shape
        told = self.bridge(words.flatten(1)).view(batch, len(words) // batch, -1)
        return words, sentences + F.pad(told, (0, 0, tokens - told.shape[1], 0))


class Block(nn.Module):
    """One TNT block; without ``inner`` it is an ordinary pre-norm transformer block."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        drop_path: float,
        inner: InnerTransformer | None,
        pool: int = 1,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.norm1 = nn.LayerNorm(dim)
        self.attn = PooledAttention(dim, num_heads, pool) if pool > 1 else Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, words: Tensor, sentences: Tensor, grid: tuple[int, int] | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the new words and sentences."""
        if self.inner is not None:
            words, sentences = self.inner(words, sentences, self.drop_path)
        sentences = sentences + self.drop_path(self.attn(self.norm1(sentences), grid, bias))
        return words, add_feed_forward(sentences, self.norm2, self.mlp, self.drop_path)

    def class_token(self, words: Tensor, sentences: Tensor) -> Tensor:
        """Return the first sentence (B, 1, C) of :meth:`forward`, for a block of TNT."""
        if self.inner is not None:
            words, sentences = self.inner(words, sentences, self.drop_path)
        assert isinstance(self.attn, Attention)
        cls = sentences[:, :1] + self.drop_path(self.attn.first(self.norm1(sentences)))
        return add_feed_forward(cls, self.norm2, self.mlp, self.drop_path)
