"""A transformer that goes through time in steps and keeps keys and values of the latest frames (the paper's cache)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.varlen_attention import rotate, varlen_attention
from claimbench.reproductions.atoken.blocks import Block, Table, Transformer
from claimbench.reproductions.atoken.packing import Layout
from claimbench.reproductions.layers import add_feed_forward

__all__ = ["in_steps"]


class _Step:
    """One step through time: its tokens, the earlier ones that they also attend to, and those that the next one needs.

    Attributes:
        now: the numbers of its tokens in the batch.
        seen: the numbers of all tokens that they attend to, sample by sample.
        merge: their places behind each other: the earlier ones first, then those of the step.
        keep: the places among ``seen`` that the next step attends to.
    """

    def __init__(self, layout: Layout, number: int, earlier: Tensor, cached: int) -> None:
        start, stop = number * layout.frames, (number + 1) * layout.frames
        self.now = (layout.slice_of == number).nonzero().flatten()
        both = torch.cat((earlier, self.now))
        self.merge = layout.sample[both].argsort(stable=True)
        self.seen = both[self.merge]
        self.keep = (layout.time[self.seen] >= stop - cached).nonzero().flatten()
        samples = len(layout.samples.offsets) - 1
        self.offsets, self.key_offsets = (
            F.pad(layout.sample[tokens].bincount(minlength=samples).cumsum(0), (1, 0))
            for tokens in (self.now, self.seen)
        )
        coords = layout.coords.clone()
        coords[:, 0] = layout.time - start + cached  # only differences of coordinates count
        self.coords = coords


def in_steps(transformer: Transformer, x: Tensor, layout: Layout, cached: int) -> Tensor:
    """Map tokens (L, in_channels) to (L, C), slice by slice of the layout, each attending also to frames before it.

    Args:
        transformer: attends in whole slices.
        x: the tokens.
        layout: its ``frames`` is the length of a step along t.
        cached: the number of places along t before a step whose keys and values are kept, block by block.
    """
    x = transformer.enter(x, layout)
    out = torch.empty_like(x)
    kept: list[tuple[Tensor, Tensor]] = []
    earlier = layout.sample.new_empty(0)
    for number in range(int(layout.slice_of.max()) + 1 if len(layout.sample) else 0):
        step = _Step(layout, number, earlier, cached)
        tables = [transformer.table(step.coords[tokens], x) for tokens in (step.now, step.seen)]
        tokens, kept = _step(transformer.blocks, x[step.now.to(x.device)], step, tables, kept)
        out = out.index_copy(0, step.now.to(x.device), tokens)
        earlier = step.seen[step.keep]
    return out


def _step(
    blocks: nn.ModuleList, x: Tensor, step: _Step, tables: list[Table | None], kept: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the tokens of a step after all blocks, and the keys and values that the next step needs of each."""
    merge, keep = step.merge.to(x.device), step.keep.to(x.device)
    left = []
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        q, k, v = block.attn.project(block.norm1(x))
        before = kept[number] if kept else (k[:0], v[:0])
        k, v = (torch.cat(pair)[merge] for pair in zip(before, (k, v), strict=True))
        left.append((k[keep], v[keep]))
        if tables[0] is not None and tables[1] is not None:
            q, k = rotate(q, *tables[0]), rotate(k, *tables[1])
        attended = varlen_attention(q, k, v, step.offsets, key_offsets=step.key_offsets)
        x = x + block.attn.proj(attended.flatten(1))
        x = add_feed_forward(x, block.norm2, block.mlp, nn.Identity())
    return x, left
