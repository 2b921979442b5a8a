"""The residual dense group of DRCT, section 3.2 of the paper: five Swin blocks, each on all maps before it.

Maps are (B, H, W, C) with H and W multiples of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.biased_attention import relative_position, window_attention
from claimbench.reproductions.inplace import add, gelu
from claimbench.reproductions.layers import only_result_counts

__all__ = ["BLOCKS", "ResidualDenseGroup", "Sizes", "SwinBlock"]

BLOCKS = 5
"""Swin blocks in a group; the paper's text says six, the code has five."""

SLOPE = 0.2
"""The slope of the LeakyReLU behind every transition but the last."""

SHARE = 0.2
"""The factor of the sum that a group adds to its input."""


@dataclass(frozen=True)
class Sizes:
    """The sizes that all blocks of a network share.

    Attributes:
        window: side w of a window.
        shift: the shift of the windows of every second block; 0 if a window covers the training picture.
        mlp_ratio: hidden channels over channels in the first three blocks of a group.
        qkv_bias: whether queries, keys and values have a bias.
    """

    window: int
    shift: int
    mlp_ratio: float
    qkv_bias: bool


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias for each relative position.

    Args:
        dim: channels C, divided among the heads.
        num_heads: heads G.
        sizes: the window and whether queries, keys and values have a bias.
        shift: the shift of the windows.
    """

    def __init__(self, dim: int, num_heads: int, sizes: Sizes, shift: int) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"drct: {num_heads} heads do not divide {dim} channels")
        self.num_heads, self.window, self.shift = num_heads, sizes.window, shift
        self.qkv = nn.Linear(dim, 3 * dim, bias=sizes.qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.empty((2 * sizes.window - 1) ** 2, num_heads))
        trunc_normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window of the map (B, H, W, C)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(3)
        table = relative_position(self.table, self.window, self.window).to(q.dtype)
        return self.proj(window_attention(q, k, v, table, self.window, self.shift).flatten(3))


class SwinBlock(nn.Module):
    """Pre-norm residual block: window attention, then an MLP.

    Args:
        dim, num_heads, sizes, shift: the arguments of the attention.
        mlp_ratio: hidden channels of the MLP over ``dim``.
        drop_path: rate of stochastic depth.
    """

    def __init__(
        self, dim: int, num_heads: int, sizes: Sizes, shift: int, mlp_ratio: float, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, num_heads, sizes, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = add(self.drop_path(self.attn(self.norm1(x))), x)
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def through(self, transition: nn.Linear, x: Tensor) -> Tensor:
        """Return ``transition(self(x))``.

        Nothing else reads the block's output. If only the result counts, the last layer of the MLP and the transition
        are multiplied into one layer, from the hidden channels straight to the few that go on.
        """
        if not only_result_counts(x, self) or x.dtype.itemsize < 4 or torch.is_autocast_enabled(x.device.type):
            return transition(self(x))
        x = add(self.attn(self.norm1(x)), x)
        hidden = gelu(self.mlp.fc1(self.norm2(x)))
        last, weight = self.mlp.fc2, transition.weight
        kept = F.linear(x, weight, transition(last.bias))
        return add(F.linear(hidden, weight @ last.weight), kept)


class ResidualDenseGroup(nn.Module):
    """x + 0.2 t5(b5([x, x1, x2, x3, x4])) with xi = LeakyReLU(ti(bi([x, ..., x(i-1)]))).

    The b are Swin blocks; the second and the fourth have shifted windows. The t are 1x1 convolutions to ``growth``
    channels; the last one goes back to ``dim``.

    Args:
        dim: channels of the group's input and output.
        growth: channels that each of the first four blocks adds to the next one's input.
        num_heads: heads h of the first block; a block of C channels has h - C mod h.
        sizes: of windows and MLPs; the MLPs of the last two blocks do not widen.
        drop_path: rate of stochastic depth of all blocks.
    """

    def __init__(self, dim: int, growth: int, num_heads: int, sizes: Sizes, drop_path: float = 0.0) -> None:
        super().__init__()
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for i in range(BLOCKS):
            wide = dim + i * growth
            heads = num_heads - wide % num_heads if i else num_heads
            ratio = sizes.mlp_ratio if i < 3 else 1.0
            self.blocks.append(SwinBlock(wide, heads, sizes, sizes.shift * (i % 2), ratio, drop_path))
            self.transitions.append(nn.Linear(wide, growth if i < BLOCKS - 1 else dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        maps = x
        *steps, last = (
            (cast(SwinBlock, b), cast(nn.Linear, t)) for b, t in zip(self.blocks, self.transitions, strict=True)
        )
        for block, transition in steps:
            maps = torch.cat((maps, F.leaky_relu(block.through(transition, maps), SLOPE)), -1)
        block, transition = last
        return x + SHARE * block.through(transition, maps)
