"""Fixed splits of one volume: slabs with gaps between them, since neighbouring slices are nearly the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Slab:
    """The slices ``start`` to ``stop`` - 1 of a volume, and the part of the data that they belong to."""

    start: int
    stop: int
    part: Part


@dataclass(frozen=True)
class Slabs:
    """A rule that cuts an axis into slabs.

    Attributes:
        axis: of the volume (D, H, W).
        width: slices of a slab. ``gap``: slices that are left out between two of them.
        start: the first slice of the first slab.
        stop: no slab goes beyond it; None for the end of the axis.
        parts: of the slabs, in turns.
    """

    axis: int
    width: int
    gap: int
    start: int = 0
    stop: int | None = None
    parts: Sequence[Part] = ("train", "val", "train", "test")

    def cut(self, size: int, moved: int = 0) -> list[Slab]:
        """Return the slabs of an axis of so many slices; only whole ones.

        Args:
            size: the number of slices.
            moved: slices by which all slabs are moved on, to see how far a result depends on their places.

        Raises:
            ValueError: the slabs would begin before the axis.
        """
        first, end = self.start + moved, min(size, size if self.stop is None else self.stop + moved)
        if first < 0:
            raise ValueError(f"slabs that start at {self.start} cannot be moved by {moved}")
        starts = range(first, end - self.width + 1, self.width + self.gap)
        return [Slab(start, start + self.width, part) for start, part in zip(starts, cycle(self.parts), strict=False)]
