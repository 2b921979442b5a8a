"""Vim: a plain stack of Mamba mixers that scan the patches of a picture both ways.

Zhu et al., "Vision Mamba: Efficient Visual Representation Learning with Bidirectional State Space Model", arXiv
2401.09417.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import sqrt

import torch
from timm.layers import DropPath, lecun_normal_, trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import drop_path_rates
from claimbench.reproductions.mamba_medical.mixer import MambaMixer

__all__ = ["Block", "Vim", "patches"]

EPS = 1e-5
"""Added to the mean square by all norms."""


def patches(height: int, width: int, size: int, stride: int) -> int:
    """Return the number of whole patches of ``size`` x ``size`` in a picture, at a distance of ``stride``."""
    return max((height - size) // stride + 1, 0) * max((width - size) // stride + 1, 0)


class Block(nn.Module):
    """x + mixer(norm(x)) for tokens (B, L, C)."""

    def __init__(self, mixer: MambaMixer, dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=EPS)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, C) to (B, L, C)."""
        return x + self.drop_path(self.mixer(self.norm(x)))


class Vim(nn.Module):
    """Patches of a picture with a class token in their middle, mixed both ways, and classified by that token.

    The positions have one entry for each patch, so that any size with as many patches as ``img_size`` is accepted.

    Args:
        embed_dim: the channels.
        depth: the blocks.
        patch_size, stride: of the patches, which overlap if the stride is smaller.
        d_state, d_conv, expand: of the mixers, see :class:`MambaMixer`.
        img_size: the side of the picture, or its height and width.
        num_classes: the width of the output.
        in_chans: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int = 24,
        patch_size: int = 16,
        stride: int = 16,
        d_state: int = 16,
        d_conv: int = 4,
        expand: float = 2,
        img_size: int | Sequence[int] = 224,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.patches = patches(height, width, patch_size, stride)
        self.patch_embed = nn.Conv2d(in_chans, embed_dim, patch_size, stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patches + 1, embed_dim))
        (rates,) = drop_path_rates(drop_path, [depth])
        self.blocks = nn.Sequential(
            *(
                Block(MambaMixer(embed_dim, d_state, d_conv, expand, "v2", divide_out=True), embed_dim, rate)
                for rate in rates
            )
        )
        self.norm = nn.RMSNorm(embed_dim, eps=EPS)
        self.head = nn.Linear(embed_dim, num_classes)
        self.apply(partial(_start, depth=depth))
        linear_layers(self.head)
        for parameter in (self.cls_token, self.pos_embed):
            trunc_normal_(parameter, std=0.02)

    def features(self, x: Tensor) -> Tensor:
        """Return the class token (B, C) of pictures (B, in_chans, H, W), behind all blocks and the norm.

        Raises:
            ValueError: the picture has another number of patches than there are positions.
        """
        height, width = x.shape[2:]
        size, stride = self.patch_embed.kernel_size[0], self.patch_embed.stride[0]
        found = patches(height, width, size, stride)
        if found != self.patches:
            raise ValueError(
                f"a {height}x{width} picture has {found} patches of {size}x{size} at stride {stride}, "
                f"and Vim has positions for {self.patches}: build it with img_size"
            )
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2)
        middle = found // 2
        cls_token = self.cls_token.expand(len(x), -1, -1)
        tokens = torch.cat((tokens[:, :middle], cls_token, tokens[:, middle:]), dim=1) + self.pos_embed
        return self.norm(self.blocks(tokens)[:, middle])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, in_chans, H, W)."""
        return self.head(self.features(x))


@torch.no_grad()
def _start(module: nn.Module, depth: int) -> None:
    """Start the patches by their fan-in, and the last layers of ``depth`` mixers smaller than PyTorch does."""
    if isinstance(module, nn.Conv2d):
        lecun_normal_(module.weight)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    if isinstance(module, MambaMixer):
        module.out_proj.weight /= sqrt(depth)
