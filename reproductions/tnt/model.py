"""TNT, section 3 of the paper: words and sentences on one grid of patches, classified by a class token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import drop_path_rates, only_result_counts
from claimbench.reproductions.tnt.block import Block, InnerTransformer
from claimbench.reproductions.tnt.pyramid import PyramidTNT


class TNT(nn.Module):
    """The network: (B, 3, H, W) to (B, num_classes), H and W multiples of the patch size.

    The position embedding has one entry for each patch. Any H x W with as many patches as ``img_size`` is accepted;
    others raise ValueError.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size = config.get("img_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        self.patch_size = patch = config.get("patch_size", 16)
        dim, word_dim, depth = config["outer_dim"], config["inner_dim"], config["depth"]
        stride = config.get("inner_stride", 4)
        num_words = (-(-patch // stride)) ** 2
        self.num_patches = (height // patch) * (width // patch)
        self.word_embed = nn.Conv2d(config.get("in_chans", 3), word_dim, 7, stride=stride, padding=3)
        self.word_pos = nn.Parameter(torch.zeros(1, num_words, word_dim))
        joined = num_words * word_dim
        self.sentence_embed = nn.Sequential(nn.LayerNorm(joined), nn.Linear(joined, dim), nn.LayerNorm(dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.sentence_pos = nn.Parameter(torch.zeros(1, 1 + self.num_patches, dim))
        ratio = config.get("mlp_ratio", 4)
        (rates,) = drop_path_rates(config.get("drop_path", 0.0), [depth])
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config["outer_num_heads"],
                ratio,
                rate,
                InnerTransformer(word_dim, dim, num_words, config["inner_num_heads"], ratio, joint_norm=False),
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(dim)
        classes = config.get("num_classes", 1000)
        self.head = nn.Linear(dim, classes) if classes else nn.Identity()
        for parameter in (self.cls_token, self.sentence_pos, self.word_pos):
            trunc_normal_(parameter, std=0.02)
        self.apply(linear_layers)

    def embed_words(self, x: Tensor) -> Tensor:
        """Return the words (B * N, M, c): a 7x7 convolution on every patch by itself, zeros beyond its border."""
        patch = self.patch_size
        rows, columns = x.shape[2] // patch, x.shape[3] // patch
        if x.shape[2] % patch or x.shape[3] % patch or rows * columns != self.num_patches:
            raise ValueError(
                f"this TNT was built for {self.num_patches} patches of {patch}x{patch} pixels, got an input of "
                f"{x.shape[2]}x{x.shape[3]}: build it with img_size set"
            )
        patches = x.unflatten(2, (rows, patch)).unflatten(4, (columns, patch)).permute(0, 2, 4, 1, 3, 5)
        words = self.word_embed(patches.flatten(0, 2)).flatten(2).transpose(1, 2)
        return words + self.word_pos

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the words (B * N, M, c) and sentences (B, 1 + N, C), class token first, that enter the first block."""
        words = self.embed_words(x)
        sentences = self.sentence_embed(words.flatten(1)).unflatten(0, (-1, self.num_patches))
        cls = self.cls_token.expand(len(x), -1, -1).to(sentences.dtype)
        return words, torch.cat((cls, sentences), dim=1) + self.sentence_pos

    def forward_tokens(self, x: Tensor) -> Tensor:
        """Return the normed sentences (B, 1 + N, C), class token first."""
        words, sentences = self.embed(x)
        for block in self.blocks:
            words, sentences = block(words, sentences)
        return self.norm(sentences)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes)."""
        if not only_result_counts(x, self):
            return self.head(self.forward_tokens(x)[:, 0])
        words, sentences = self.embed(x)
        for block in self.blocks[:-1]:
            words, sentences = block(words, sentences)
        # The head reads the class token alone.
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return self.head(self.norm(last.class_token(words, sentences))[:, 0])


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"tnt has the form 'model' only, not {form!r}")
    if "depths" in config:
        model: nn.Module = PyramidTNT(config)
        model.apply(linear_layers)
        return model
    return TNT(config)
