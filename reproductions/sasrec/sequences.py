"""Layouts of a batch of item sequences for attention: with its padding, or packed without it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Dense", "Observed", "Packed", "Sequences"]


class Sequences(Protocol):
    """A layout of sequences; only attention depends on it, all else treats each item by itself."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float) -> Tensor:
        """Return softmax(q k^T / sqrt(d)) v, each item over itself and those before it; all (..., C)."""


class Dense:
    """Sequences (B, n, C) with their padding on the left.

    Args:
        real: (B, n), False for padded keys, which are hidden; None to attend to them like to any other.
    """

    def __init__(self, real: Tensor | None) -> None:
        self.real = real

    def attend(self, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float) -> Tensor:
        """See :meth:`Sequences.attend`; the outputs of hidden padded slots mean nothing."""
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        if self.real is None:
            return F.scaled_dot_product_attention(q, k, v, None, dropout, is_causal=True).transpose(1, 2).flatten(2)
        slots = torch.arange(q.shape[2], device=q.device)
        # A padded slot sees itself, so that no row of weights is empty.
        seen = (slots <= slots[:, None]) & (self.real[:, None] | (slots == slots[:, None]))
        return F.scaled_dot_product_attention(q, k, v, seen[:, None], dropout).transpose(1, 2).flatten(2)


class Observed(Dense):
    """A :class:`Dense` layout that keeps the attention weights of each sequence's last item.

    Attributes:
        weights: the mean weights (B, n) over the heads of each attention so far, the last item first.
    """

    def __init__(self, real: Tensor | None) -> None:
        super().__init__(real)
        self.weights: list[Tensor] = []

    def attend(self, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float) -> Tensor:
        """See :meth:`Sequences.attend`."""
        last, keys = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q[:, -1:], k))
        scores = (last @ keys.mT).squeeze(2) * last.shape[-1] ** -0.5
        if self.real is not None:
            scores = scores.masked_fill(~self.real[:, None], -torch.inf)
        self.weights.append(scores.softmax(-1).mean(1).flip(-1))
        return super().attend(q, k, v, heads, dropout)


class Packed:
    """Sequences without their padding, the shortest first and one after the other: (T, C), T the number of real items.

    Most users have few actions, so that a packed batch is much smaller. Only attention pads sequences again, those of
    similar length together and on the right, where the causal mask hides padding by itself.

    Args:
        real: (B, n), False for padding, which is on the left.

    Raises:
        ValueError: a sequence is all padding.
    """

    def __init__(self, real: Tensor) -> None:
        lengths, order = real.sum(1).sort(stable=True)
        within, self.slots = real[order].nonzero(as_tuple=True)
        self.rows = order[within]
        self.ends = lengths.new_empty(len(real)).index_copy(0, order, lengths.cumsum(0) - 1)
        behind = self.slots - (real.shape[1] - lengths)[within]
        self.groups = []
        for first, last, tokens in _groups(lengths.tolist()):
            longest = int(lengths[last - 1])
            self.groups.append((last - first, longest, tokens, (within[tokens] - first) * longest + behind[tokens]))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float) -> Tensor:
        """See :meth:`Sequences.attend`."""
        joint = torch.cat([q, k, v], dim=-1)
        found = []
        for batch, longest, tokens, place in self.groups:
            padded = joint.new_zeros(batch * longest, joint.shape[-1]).index_copy(0, place, joint[tokens])
            qs, ks, vs = padded.view(batch, longest, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            attended = F.scaled_dot_product_attention(qs, ks, vs, None, dropout, is_causal=True)
            found.append(attended.transpose(1, 2).flatten(2).flatten(0, 1)[place])
        return torch.cat(found)


def _groups(lengths: list[int]) -> Iterator[tuple[int, int, slice]]:
    """Yield the first and last (exclusive) sequence and the items of each group, lengths ascending.

    A group spans lengths up to the next power of two.
    """
    if lengths and lengths[0] == 0:
        raise ValueError("a sequence must hold an item that is not padding")
    first = start = 0
    for _, group in groupby(lengths, lambda length: max((length - 1).bit_length(), 2)):
        members = list(group)
        yield first, first + len(members), slice(start, start + sum(members))
        first, start = first + len(members), start + sum(members)
