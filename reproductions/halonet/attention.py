"""Halo attention: blocked local self-attention with relative positions, section 2.2 of the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.kernels.local_block_attention import local_block_attention

__all__ = ["HaloAttention"]


class HaloAttention(nn.Module):
    """Self-attention of (B, C, H, W) maps within blocks and their halos, without an output projection.

    H and W must be multiples of the block size. With stride 2 only every second query of a block attends; if the
    block's side is odd, or ``pool`` asks for it, all attend and 2 x 2 outputs are averaged.

    Args:
        dim: channels C of the input.
        dim_out: channels of the output, divided among the heads.
        num_heads: heads G.
        block_size, halo_size: a block's side, and the reach of its keys beyond it.
        stride: 1 or 2.
        head_dim: channels of a query and of a key; C_out / G by default.
        pool: whether stride 2 averages.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        block_size: int,
        halo_size: int,
        stride: int = 1,
        head_dim: int | None = None,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads, self.block_size, self.halo_size = num_heads, block_size, halo_size
        self.head_dim = head_dim or dim_out // num_heads
        self.pool = stride > 1 and (pool or block_size % stride > 0)
        self.stride = 1 if self.pool else stride
        entries = 2 * (block_size + 2 * halo_size) - 1
        self.query = nn.Conv2d(dim, num_heads * self.head_dim, 1, bias=False)
        self.key_value = nn.Conv2d(dim, num_heads * self.head_dim + dim_out, 1, bias=False)
        self.row_table = nn.Parameter(torch.empty(entries, self.head_dim))
        self.column_table = nn.Parameter(torch.empty(entries, self.head_dim))
        for weight, std in ((self.query.weight, dim**-0.5), (self.key_value.weight, dim**-0.5)):
            trunc_normal_(weight, std=std)
        for table in (self.row_table, self.column_table):
            trunc_normal_(table, std=self.head_dim**-0.5)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries (B, H / s, W / s, G, D) and keys with values (B, H, W, G, D + E) of x (B, C, H, W)."""
        rows = x.permute(0, 2, 3, 1)
        query, both = self.query.weight.flatten(1), self.key_value.weight.flatten(1)
        if self.stride > 1:
            queries = F.linear(rows[:, :: self.stride, :: self.stride], query)
            pairs = F.linear(rows, both)
        else:  # one matrix product reads the map once
            joined = F.linear(rows, torch.cat((query, both)))
            queries, pairs = joined.split((len(query), len(both)), dim=-1)
        return queries.unflatten(-1, (self.num_heads, -1)), pairs.unflatten(-1, (self.num_heads, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        queries, pairs = self.project(x)
        pairs = pairs.permute(0, 3, 1, 2, 4)
        attended = local_block_attention(
            queries.permute(0, 3, 1, 2, 4),
            pairs[..., : self.head_dim],
            pairs[..., self.head_dim :],
            (self.row_table, self.column_table),
            self.block_size,
            self.halo_size,
        )
        out = attended.permute(0, 2, 3, 1, 4).flatten(3).permute(0, 3, 1, 2)
        return F.avg_pool2d(out, 2) if self.pool else out
