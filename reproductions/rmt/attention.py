"""Manhattan self-attention, whole or decomposed along the axes, with its decays and its rotary phases (section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from claimbench.kernels.biased_attention import biased_attention, manhattan_decay
from claimbench.reproductions.layers import DepthwiseConv2d

__all__ = ["ManhattanAttention", "Position", "Positions", "rotate"]


class Position(NamedTuple):
    """The phases and decays of a map, which depend on its size alone and are shared by the blocks of a stage.

    Attributes:
        phases: unit complex numbers (H, W, 1, 1, d / 2) that turn the channel pairs of queries and keys.
        tables: the decay by relative offset of each attention to run, one after the other: whole, or along the width
            and then along the height.
    """

    phases: Tensor
    tables: tuple[Tensor, ...]


class Positions(nn.Module):
    """The :class:`Position` of a stage for any size of map.

    Head n of N decays by ``1 - 2^(-first - range * n / N)`` from one position to the next. Channel pair i turns by
    ``10000^(-i / (d/2 - 1))`` from one position to the next in raster order.

    Args:
        dim: channels C.
        num_heads: heads N, of d = C / N channels.
        first, span: the two numbers of the decay.
        decomposed: whether attention runs along the width and then along the height.
    """

    angle: Tensor
    decay: Tensor

    def __init__(self, dim: int, num_heads: int, first: float, span: float, decomposed: bool) -> None:
        super().__init__()
        self.decomposed = decomposed
        angle = 1.0 / (10000 ** torch.linspace(0, 1, dim // num_heads // 2))
        heads = torch.arange(num_heads, dtype=torch.float32)
        self.register_buffer("angle", angle.repeat_interleave(2))
        self.register_buffer("decay", torch.log(1 - 2 ** (-first - span * heads / num_heads)))

    def forward(self, height: int, width: int) -> Position:
        """Return the phases and the decay tables of a map of this size."""
        index = torch.arange(height * width, dtype=self.angle.dtype, device=self.angle.device)
        turn = torch.outer(index, self.angle[::2]).view(height, width, 1, 1, -1)
        sizes = ((1, width), (height, 1)) if self.decomposed else ((height, width),)
        tables = tuple(manhattan_decay(self.decay, *size) for size in sizes)
        # Phases of half precision would miss most positions; products with them return to the other factor's dtype.
        turn = turn.float() if turn.dtype in (torch.float16, torch.bfloat16) else turn
        return Position(torch.polar(torch.ones_like(turn), turn), tables)


def rotate(x: Tensor, phases: Tensor) -> Tensor:
    """Turn neighbouring pairs of channels of ``x`` (B, H, W, .., d) by ``phases`` (H, W, .., d / 2)."""
    pairs = x.to(phases.real.dtype).unflatten(-1, (-1, 2))
    return torch.view_as_real(torch.view_as_complex(pairs) * phases).flatten(-2).to(x.dtype)


class ManhattanAttention(nn.Module):
    """proj(softmax(q k^T / sqrt(d) + distance * log decay) v + dw5x5(v)), queries and keys turned by their position.

    The decomposed form attends within rows first. The result is the values of the attention within columns, which has
    the same queries and keys.

    Args:
        dim: channels C.
        num_heads: heads; C is divided among them.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.local = DepthwiseConv2d(dim, 5)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, position: Position) -> Tensor:
        """Attend among the positions of a map (B, H, W, C)."""
        qk, v = self.qkv(x).split((2 * x.shape[-1], x.shape[-1]), dim=-1)
        local = self.local(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        turned = rotate(qk.unflatten(-1, (2, self.num_heads, -1)), position.phases)
        q, k = turned.permute(3, 0, 4, 1, 2, 5).unbind(0)  # each (B, heads, H, W, d)
        out = v.unflatten(-1, (self.num_heads, -1)).permute(0, 3, 1, 2, 4)
        if len(position.tables) == 1:
            out = biased_attention(q, k, out, position.tables[0])
        else:
            along_width, along_height = position.tables
            out = biased_attention(q, k, out, along_width, axis="width")
            out = biased_attention(q, k, out, along_height, axis="height")
        return self.proj(out.permute(0, 2, 3, 1, 4).flatten(3) + local)
