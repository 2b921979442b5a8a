"""Large pictures in tiles: each is enlarged with a margin around it, which is then cut away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Cut", "Tiling", "enlarge", "plan", "tiling_of"]


@dataclass(frozen=True)
class Tiling:
    """The conditions under which a network gives the picture's result from tiles.

    Attributes:
        multiple: tiles begin and end at multiples of it, counted from the picture's edge; the window side of networks
            that tile their maps with windows.
        overlap: the least margin with which the result is that of the whole picture, a multiple of
            ``multiple``; None if no margin suffices, because some layer sees all of the picture.
    """

    multiple: int
    overlap: int | None


def tiling_of(network: object) -> Tiling | None:
    """Return a network's ``tile_multiple`` and ``tile_overlap``, or None if it has no ``tile_multiple``."""
    multiple = getattr(network, "tile_multiple", None)
    return None if multiple is None else Tiling(multiple, getattr(network, "tile_overlap", None))


@dataclass(frozen=True)
class Cut:
    """A stretch of one axis: [start, stop) is enlarged, [first, last) of it is kept."""

    start: int
    first: int
    last: int
    stop: int


def plan(length: int, tile: int, tiling: Tiling, overlap: int) -> list[Cut]:
    """Return the cuts of an axis into stretches of ``tile`` pixels with a margin of ``overlap`` on either side.

    Raises:
        ValueError: the tile or the overlap is no multiple of the network's.
    """
    if tile < 1 or overlap < 0 or tile % tiling.multiple or overlap % tiling.multiple:
        raise ValueError(
            f"tile and overlap must be multiples of {tiling.multiple}, the first not 0, got {tile} and {overlap}"
        )
    cuts = []
    for first in range(0, length, tile):
        last = min(first + tile, length)
        cuts.append(Cut(max(first - overlap, 0), first, last, min(last + overlap, length)))
    return cuts


@torch.no_grad()
def enlarge(
    network: Callable[[Tensor], Tensor],
    picture: Tensor,
    scale: int,
    tile: int,
    tiling: Tiling,
    overlap: int | None = None,
) -> Tensor:
    """Return ``network(picture)``, computed tile by tile.

    Memory is that of one tile with its margins. With the overlap that the network needs (the default) the result is
    that of the whole picture, but for rounding; with less it is near it, except at the seams.

    Args:
        network: (B, C, H, W) to (B, C, scale H, scale W).
        picture: (B, C, H, W) of any size.
        scale: see above.
        tile: side of the part that a tile contributes, a multiple of ``tiling.multiple``.
        tiling: the network's conditions.
        overlap: the margin, in pixels of ``picture``.

    Raises:
        ValueError: a size is no multiple of the network's, or no overlap was given and none suffices.
    """
    overlap = tiling.overlap if overlap is None else overlap
    if overlap is None:
        raise ValueError("no overlap gives this network's result for the whole picture: say which to take")
    batch, channels, height, width = picture.shape
    out = picture.new_empty(batch, channels, height * scale, width * scale)
    for rows, columns in _pairs(plan(height, tile, tiling, overlap), plan(width, tile, tiling, overlap)):
        large = network(picture[:, :, rows.start : rows.stop, columns.start : columns.stop])
        y, x = (scale * (cut.first - cut.start) for cut in (rows, columns))
        kept = large[:, :, y : y + scale * (rows.last - rows.first), x : x + scale * (columns.last - columns.first)]
        to = out[:, :, scale * rows.first : scale * rows.last, scale * columns.first : scale * columns.last]
        to.copy_(kept)
    return out


def _pairs(rows: list[Cut], columns: list[Cut]) -> Iterator[tuple[Cut, Cut]]:
    return ((row, column) for row in rows for column in columns)
