"""The transformer over packed tokens that encoder, decoder and the head for Gaussians are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from claimbench.kernels.varlen_attention import varlen_attention
from claimbench.reproductions.atoken.packing import Groups, Layout
from claimbench.reproductions.atoken.positions import PositionTable, angles, sinusoids
from claimbench.reproductions.layers import add_feed_forward

__all__ = ["Attention", "Block", "PoolingHead", "Positions", "Table", "Transformer", "feed_forward", "norm_layer"]

Positions = Literal["learned", "rope", "joint", "ape"]
"""``learned`` adds a table over rows and columns, ``rope`` turns queries and keys, ``joint`` does both; ``ape`` adds
sinusoids."""

Table = tuple[Tensor, Tensor]
"""Cosines and sines of the angles by which the pairs of channels of each token turn."""

EPS = 1e-6


def norm_layer(dim: int, rms: bool) -> nn.Module:
    """Return RMSNorm or LayerNorm over the channels."""
    return nn.RMSNorm(dim, eps=EPS) if rms else nn.LayerNorm(dim, eps=EPS)


def feed_forward(dim: int, hidden: int, bias: bool) -> Mlp:
    """Return two linear layers with the tangent form of GELU between them."""
    return Mlp(dim, hidden, act_layer=partial(nn.GELU, approximate="tanh"), bias=bias)  # type: ignore[arg-type]


class HeadNorm(nn.Module):
    """Scales the vector of each token and head to the length sqrt(d), then each channel by a learned factor.

    Args:
        heads: h, the number of heads.
        dim: d, the channels of a head.
    """

    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (L, h, d) to the same shape, in float32 at least inside."""
        wide = x.float() if x.itemsize < 4 else x
        return (F.normalize(wide, dim=-1) * self.gamma * x.shape[-1] ** 0.5).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention inside groups of tokens.

    Args:
        dim: channels C.
        heads: h; C is divided among them.
        bias: whether the linear layers have one.
        qk_norm: whether queries and keys are normalised head by head.
    """

    def __init__(self, dim: int, heads: int, bias: bool, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)
        self.q_norm, self.k_norm = (HeadNorm(heads, dim // heads) if qk_norm else nn.Identity() for _ in range(2))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values (L, h, d) of tokens (L, C), not yet turned."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(1)
        return self.q_norm(q), self.k_norm(k), v

    def forward(self, x: Tensor, groups: Groups, table: Table | None = None) -> Tensor:
        """Attend among the tokens (L, C) of each group."""
        if groups.order is not None and groups.inverse is not None:
            order, inverse = groups.order.to(x.device), groups.inverse.to(x.device)
            table = None if table is None else (table[0][order], table[1][order])
            return self(x[order], Groups(groups.offsets), table)[inverse]
        cos, sin = table or (None, None)
        attended = varlen_attention(*self.project(x), groups.offsets, cos=cos, sin=sin)
        return self.proj(attended.flatten(1))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        dim: channels C.
        heads: of the attention.
        hidden: channels inside the MLP.
        bias: whether the linear layers have one.
        rms: whether the norms are RMSNorm and not LayerNorm.
        qk_norm: whether queries and keys are normalised.
    """

    def __init__(self, dim: int, heads: int, hidden: int, bias: bool, rms: bool, qk_norm: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_layer(dim, rms), norm_layer(dim, rms)
        self.attn = Attention(dim, heads, bias, qk_norm)
        self.mlp = feed_forward(dim, hidden, bias)

    def forward(self, x: Tensor, groups: Groups, table: Table | None = None) -> Tensor:
        """Map (L, C) to (L, C)."""
        x = x + self.attn(self.norm1(x), groups, table)
        return add_feed_forward(x, self.norm2, self.mlp, nn.Identity())


class PoolingHead(nn.Module):
    """One vector for each sample: a learned query attends to its tokens, then an MLP.

    Args:
        dim: channels C.
        heads, hidden, bias, rms, qk_norm: as those of :class:`Block`.
    """

    def __init__(self, dim: int, heads: int, hidden: int, bias: bool, rms: bool, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.probe = nn.Parameter(torch.randn(dim))
        self.q, self.kv = nn.Linear(dim, dim, bias=bias), nn.Linear(dim, 2 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)
        self.q_norm, self.k_norm = (HeadNorm(heads, dim // heads) if qk_norm else nn.Identity() for _ in range(2))
        self.norm = norm_layer(dim, rms)
        self.mlp = feed_forward(dim, hidden, bias)

    def forward(self, x: Tensor, samples: Groups) -> Tensor:
        """Map tokens (L, C) to a vector for each of B samples (B, C)."""
        count = len(samples.offsets) - 1
        q = self.q_norm(self.q(self.probe).view(1, self.heads, -1)).expand(count, -1, -1)
        k, v = self.kv(x).unflatten(-1, (2, self.heads, -1)).unbind(1)
        ones = torch.arange(count + 1)
        pooled = self.proj(varlen_attention(q, self.k_norm(k), v, ones, key_offsets=samples.offsets).flatten(1))
        return pooled + self.mlp(self.norm(pooled))


class Transformer(nn.Module):
    """A linear layer, positions and blocks over the tokens of a packed batch.

    Args:
        in_channels: of a token that comes in.
        dim: channels C.
        depth: the number of blocks.
        heads: of each; 0 for heads of 64 channels.
        hidden: channels inside each MLP.
        positions: see :data:`Positions`.
        window: the side of the cubes of coordinates in which tokens attend, in every second block moved by half of it;
            0 for all tokens of a slice.
        bias, rms, qk_norm: as those of :class:`Block`.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        positions: Positions = "joint",
        window: int = 0,
        bias: bool = True,
        rms: bool = False,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        heads = heads or dim // 64
        self.positions, self.window, self.head_dim = positions, window, dim // heads
        if positions in ("learned", "joint"):
            self.position = PositionTable(dim)
        self.embed = nn.Linear(in_channels, dim, bias=bias)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, bias, rms, qk_norm) for _ in range(depth))

    def enter(self, x: Tensor, layout: Layout) -> Tensor:
        """Return the tokens (L, C) that the first block takes, of tokens (L, in_channels)."""
        x = self.embed(x)
        if self.positions == "ape":
            # Three of the axes: voxels have no time.
            places = layout.coords[:, 1:].to(x.device)
            return x + sinusoids(places, x.shape[-1], table_dtype(x)).to(x.dtype)
        return x + self.position(layout) if self.positions in ("learned", "joint") else x

    def table(self, coords: Tensor, like: Tensor) -> Table | None:
        """Return the angles of tokens (L, 4) on the device of ``like``; None if nothing is turned."""
        if self.positions not in ("rope", "joint"):
            return None
        return angles(coords.to(like.device), self.head_dim, table_dtype(like))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Map tokens (L, in_channels) to (L, C)."""
        x = self.enter(x, layout)
        table = self.table(layout.coords, x)
        for block, groups in zip(self.blocks, self._groups(layout), strict=True):
            x = block(x, groups, table)
        return x

    def _groups(self, layout: Layout) -> Iterator[Groups]:
        """Yield the groups of tokens that attend to each other in each block."""
        shifts = (0, self.window // 2)
        kinds = [layout.windows(self.window, shift) for shift in shifts] if self.window else [layout.slices]
        return (kinds[number % len(kinds)] for number in range(len(self.blocks)))


def table_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
