"""PyramidTNT (Han et al., arXiv 2201.00978): a convolutional stem and four stages of falling resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.layers import drop_path_rates
from claimbench.reproductions.tnt.block import Block, InnerTransformer

WORDS = 4
"""The side of the grid of words in a sentence."""


def conv_norm_relu(in_dim: int, out_dim: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, BatchNorm and ReLU; the weights start by He's rule on the fan-out."""
    conv = nn.Conv2d(in_dim, out_dim, 3, stride, 1)
    _init_conv(conv)
    return nn.Sequential(conv, nn.BatchNorm2d(out_dim), nn.ReLU())


def _init_conv(conv: nn.Conv2d) -> None:
    nn.init.normal_(conv.weight, std=math.sqrt(2 / (9 * conv.out_channels)))
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class Stem(nn.Module):
    """Words at stride 2 and sentences at stride 8, from one shared first convolution."""

    def __init__(self, in_chans: int, dim: int, word_dim: int) -> None:
        super().__init__()
        self.shared = conv_norm_relu(in_chans, 2 * word_dim, stride=2)
        self.words = conv_norm_relu(2 * word_dim, word_dim)
        self.sentences = nn.Sequential(
            conv_norm_relu(2 * word_dim, 4 * word_dim, stride=2),
            conv_norm_relu(4 * word_dim, 8 * word_dim, stride=2),
            conv_norm_relu(8 * word_dim, dim),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return words (B * N, 16, c), sentences (B, N, C) and the grid of sentences."""
        shared = self.shared(x)
        sentences = self.sentences(shared)
        grid = (sentences.shape[2], sentences.shape[3])
        tiles = self.words(shared).unflatten(3, (grid[1], WORDS)).unflatten(2, (grid[0], WORDS))
        words = tiles.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
        return words, sentences.flatten(2).transpose(1, 2), grid


class MergeWords(nn.Module):
    """LayerNorm, then a 3x3 convolution of stride 2 on the 8x8 words of four neighbouring sentences."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.conv = nn.Conv2d(in_dim, out_dim, 3, 2, 1)
        _init_conv(self.conv)

    def forward(self, words: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map (B * N, 16, c) on ``grid`` to (B * N', 16, c'); an odd grid is filled up with zero sentences."""
        height, width = grid
        tiles = self.norm(words).unflatten(1, (WORDS, WORDS)).unflatten(0, (-1, height, width))
        tiles = F.pad(tiles, (0, 0, 0, 0, 0, 0, 0, width % 2, 0, height % 2))
        fours = tiles.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, H/2, 2, W/2, 2, 4, 4, c)
        squares = fours.permute(0, 1, 3, 7, 2, 5, 4, 6).flatten(6, 7).flatten(4, 5).flatten(0, 2)
        return self.conv(squares).flatten(2).transpose(1, 2)


class MergeSentences(nn.Module):
    """LayerNorm, then a 3x3 convolution of stride 2 on the map of sentences."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.conv = nn.Conv2d(in_dim, out_dim, 3, 2, 1)
        _init_conv(self.conv)

    def forward(self, sentences: Tensor, grid: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Map (B, N, C) on ``grid`` to (B, N', C') and return the new grid."""
        merged = self.conv(self.norm(sentences).transpose(1, 2).unflatten(2, grid))
        return merged.flatten(2).transpose(1, 2), (merged.shape[2], merged.shape[3])


class Stage(nn.Module):
    """Blocks at one resolution, with one learned bias on the outer attention scores shared by all of them."""

    def __init__(self, blocks: list[Block], num_heads: int, num_patches: int, pool: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.relative_pos = nn.Parameter(torch.randn(1, num_heads, num_patches, num_patches // pool**2))

    def forward(self, words: Tensor, sentences: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the new words and sentences."""
        for block in self.blocks:
            words, sentences = block(words, sentences, grid, self.relative_pos)
        return words, sentences


class PyramidTNT(nn.Module):
    """The network: (B, 3, S, S) to (B, num_classes), S the size of the position tables."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.img_size = config["img_size"]
        dims, word_dims, depths = config["outer_dims"], config["inner_dims"], config["depths"]
        patches = (self.img_size // 8) ** 2
        self.stem = Stem(config.get("in_chans", 3), dims[0], word_dims[0])
        self.word_pos = nn.Parameter(torch.zeros(1, WORDS**2, word_dims[0]))
        self.sentence_pos = nn.Parameter(torch.zeros(1, patches, dims[0]))
        trunc_normal_(self.word_pos, std=0.02)
        trunc_normal_(self.sentence_pos, std=0.02)
        self.merge_words = nn.ModuleList(MergeWords(a, b) for a, b in pairwise(word_dims))
        self.merge_sentences = nn.ModuleList(MergeSentences(a, b) for a, b in pairwise(dims))
        rates = drop_path_rates(config.get("drop_path", 0.0), depths)
        self.stages = nn.ModuleList(self._stage(config, i, rates[i], patches // 4**i) for i in range(len(depths)))
        self.norm = nn.LayerNorm(dims[-1])
        classes = config.get("num_classes", 1000)
        self.head = nn.Linear(dims[-1], classes) if classes else nn.Identity()

    @staticmethod
    def _stage(config: Mapping[str, Any], i: int, rates: list[float], patches: int) -> Stage:
        dim, word_dim = config["outer_dims"][i], config["inner_dims"][i]
        heads, word_heads = config["outer_heads"][i], config["inner_heads"][i]
        ratio, pool = config.get("mlp_ratio", 4), config["sr_ratios"][i]
        with_words = 2 if len(rates) > 6 else 1  # only the first blocks of a stage read the words
        blocks = []
        for j, rate in enumerate(rates):
            inner = InnerTransformer(word_dim, dim, WORDS**2, word_heads, ratio, joint_norm=True)
            blocks.append(Block(dim, heads, ratio, rate, inner if j < with_words else None, pool))
        return Stage(blocks, heads, patches, pool)

    def forward_tokens(self, x: Tensor) -> Tensor:
        """Return the normed sentences of the last stage (B, N, C)."""
        if x.shape[2:] != (self.img_size, self.img_size):
            raise ValueError(
                f"this PyramidTNT was built for {self.img_size}x{self.img_size} inputs, got "
                f"{x.shape[2]}x{x.shape[3]}: build it with img_size set"
            )
        words, sentences, grid = self.stem(x)
        words, sentences = words + self.word_pos, sentences + self.sentence_pos
        for i, stage in enumerate(self.stages):
            if i > 0:
                words = self.merge_words[i - 1](words, grid)
                sentences, grid = self.merge_sentences[i - 1](sentences, grid)
            words, sentences = stage(words, sentences, grid)
        return self.norm(sentences)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes)."""
        return self.head(self.forward_tokens(x).mean(dim=1))
