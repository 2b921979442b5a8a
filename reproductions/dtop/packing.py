"""The tokens of a batch that are still alive, as rows without gaps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from claimbench.kernels.pack_tokens import pack_tokens
from claimbench.kernels.unpack_tokens import unpack_tokens

__all__ = ["Packing", "whole"]


@dataclass(frozen=True)
class Packing:
    """The place of each row (T, C) of a packed batch.

    Attributes:
        batch, count: the numbers of images B, and of tokens N that each image had.
        offsets: (B + 1,), int64 on the CPU, the cumulative numbers of rows.
        alive: (B, N), bool, the tokens that have a row; None if all have.
    """

    batch: int
    count: int
    offsets: Tensor
    alive: Tensor | None = None

    def without_the_left(self, rows: Tensor, alive: Tensor) -> tuple[Tensor, Packing]:
        """Return the rows (T, C) of the tokens that ``alive`` (B, N) still names, and their packing.

        On the meta device no token is known to have left, so that all stay.
        """
        if alive.is_meta:
            return rows, self
        lengths = alive.sum(dim=1).tolist()
        total = sum(lengths)
        if total == len(rows):
            return rows, self
        still = alive.flatten() if self.alive is None else alive[self.alive]
        offsets = torch.tensor([0, *accumulate(lengths)])
        return pack_tokens(rows, still, total), Packing(self.batch, self.count, offsets, alive)

    def spread(self, rows: Tensor, canvas: Tensor | None = None) -> Tensor:
        """Return rows (T, C) in their places (B, N, C); other places keep those of ``canvas``, or are zero."""
        if self.alive is None:
            return rows.view(self.batch, self.count, rows.shape[1])
        if canvas is None:
            canvas = rows.new_zeros(self.batch, self.count, rows.shape[1])
        return unpack_tokens(rows, self.alive, canvas)

    def per_row(self, values: Tensor) -> Tensor:
        """Return a value (B,) of each image for each of its rows: (T, 1)."""
        lengths = self.offsets.diff().to(values.device)
        return values.repeat_interleave(lengths, output_size=int(self.offsets[-1]))[:, None]


def whole(batch: int, count: int) -> Packing:
    """Return the packing of B images of which all N tokens are alive."""
    return Packing(batch, count, torch.arange(batch + 1) * count)
