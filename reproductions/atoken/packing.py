"""Packed batches: pictures, clips and voxels of any size as rows of patches, and the place of each row.

A patch has four coordinates (t, h, w, z): picture and clip have z = 0, a set of voxels has one t. Samples lie one after
the other, so that no size is padded to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Groups",
    "Layout",
    "crop",
    "fitting",
    "layout_of_coords",
    "layout_of_shapes",
    "merged",
    "offsets",
    "patchify",
    "unpatchify",
]

Shape = tuple[int, int, int]
"""The numbers of patches of a picture or clip: along time, rows and columns."""


@dataclass(frozen=True)
class Groups:
    """The groups of tokens that attend to each other.

    Attributes:
        offsets: (G + 1,), the cumulative sizes of the groups, on the CPU.
        order: the tokens in the order of their groups; None if they lie so.
        inverse: the place of each token in that order.
    """

    offsets: Tensor
    order: Tensor | None = None
    inverse: Tensor | None = None


@dataclass(frozen=True)
class Layout:
    """The places of the L tokens of a packed batch; all tensors are integers on the CPU.

    Attributes:
        coords: (L, 4), (t, h, w, z) of each token, t from the start of its slice.
        sample: (L,), the number of each token's sample.
        samples: the tokens of each sample.
        slices: the tokens of each slice of a sample: those of a few frames, which attend to no other.
        frames: the length of a slice along t; 0 if samples are whole.
        slice_of: (L,), the number of each token's slice within its sample.
        grids: the different sizes (rows, columns) of the slices.
        cells: (L,), the cell of each token where the cells of all ``grids`` are numbered one after the other.
        last: (L,), the last token at the place of each, which speaks for all at that place; None if no two share one.
    """

    coords: Tensor
    sample: Tensor
    samples: Groups
    slices: Groups
    frames: int
    slice_of: Tensor
    grids: tuple[tuple[int, int], ...]
    cells: Tensor
    last: Tensor | None

    def shared(self, x: Tensor) -> Tensor:
        """Return tokens (L, C) with the features of the last one at each place, as the official code has it."""
        return x if self.last is None else x[self.last.to(x.device)]

    def windows(self, size: int, shift: int) -> Groups:
        """Return the groups of tokens in one cube of ``size`` coordinates a side, the cubes moved by ``-shift``.

        Empty cubes are left out.
        """
        cubes = torch.cat((self.sample[:, None], (self.coords + shift).div(size, rounding_mode="floor")), dim=1)
        _, cube, counts = cubes.unique(dim=0, return_inverse=True, return_counts=True)
        order = cube.argsort(stable=True)
        return Groups(offsets(counts), order, order.argsort())

    @property
    def places(self) -> Tensor:
        """The coordinates (L, 5) of each token in the batch: sample, t, h, w, z."""
        return torch.cat((self.sample[:, None], self.time[:, None], self.coords[:, 1:]), dim=1)

    @property
    def time(self) -> Tensor:
        """The coordinate t (L,) of each token from the start of the batch."""
        return self.slice_of * self.frames + self.coords[:, 0]

    def sliced(self, frames: int) -> Layout:
        """Return the layout of the same tokens with slices of another length along t."""
        return layout_of_coords(self.places, frames)


def offsets(counts: Tensor) -> Tensor:
    """Return the cumulative sums (G + 1,) of the sizes of groups (G,)."""
    return F.pad(counts.cumsum(0), (1, 0))


def layout_of_coords(coords: Tensor, frames: int = 0) -> Layout:
    """Return the layout of tokens with coordinates (L, 5): sample, t, h, w, z.

    Args:
        coords: integers on the CPU, none negative; the tokens of a sample together, and in the order of their slices.
        frames: the length of a slice along t, counted from the least t of the batch, at which t starts again from 0;
            0 keeps samples whole and t as it is.

    Raises:
        ValueError: the coordinates have another shape, are negative, or lie in another order.
    """
    if coords.dim() != 2 or coords.shape[1] != 5 or coords.is_floating_point():
        raise ValueError(f"coordinates must be integers (tokens, 5): sample, t, h, w, z; got {tuple(coords.shape)}")
    coords = coords.long()
    if coords.numel() and coords.min() < 0:
        raise ValueError("coordinates must not be negative")
    sample, places = coords[:, 0], coords[:, 1:].clone()
    slice_of = torch.zeros_like(sample)
    if frames and len(coords):
        from_start = places[:, 0] - places[:, 0].min()
        slice_of, places[:, 0] = from_start.div(frames, rounding_mode="floor"), from_start % frames
    count = int(slice_of.max()) + 1 if len(coords) else 1
    part = sample * count + slice_of
    if (part.diff() < 0).any():
        raise ValueError("tokens must lie sample by sample, and in a sample in the order of time")
    _, part, sizes = part.unique_consecutive(return_inverse=True, return_counts=True)
    sides = torch.zeros(len(sizes), 2, dtype=torch.long)
    sides = sides.scatter_reduce(0, part[:, None].expand(-1, 2), places[:, 1:3] + 1, "amax")
    distinct, kind = sides.unique(dim=0, return_inverse=True)
    first = offsets(distinct.prod(1))[kind[part]]
    return Layout(
        coords=places,
        sample=sample,
        samples=Groups(offsets(sample.bincount())),
        slices=Groups(offsets(sizes)),
        frames=frames,
        slice_of=slice_of,
        grids=tuple((int(height), int(width)) for height, width in distinct.tolist()),
        cells=first + places[:, 1] * sides[part, 1] + places[:, 2],
        last=_last(coords),
    )


def _last(coords: Tensor) -> Tensor | None:
    """Return the number of the last token with the coordinates of each (L,); None if all differ."""
    distinct, kind = coords.unique(dim=0, return_inverse=True)
    if len(distinct) == len(coords):
        return None
    return kind.new_zeros(len(distinct)).scatter_reduce(0, kind, torch.arange(len(coords)), "amax")[kind]


def merged(*layouts: Layout) -> Layout:
    """Return the layout of several batches as one, in their order; all have slices of one length."""
    parts, count = [], 0
    for layout in layouts:
        parts.append(layout.places + torch.tensor([count, 0, 0, 0, 0]))
        count += len(layout.samples.offsets) - 1
    return layout_of_coords(torch.cat(parts), layouts[0].frames)


def layout_of_shapes(shapes: Sequence[Shape], frames: int = 0) -> Layout:
    """Return the layout of pictures and clips of these numbers of patches, their tokens in the order t, h, w.

    It depends on sizes alone and reads no tensor, so that it can be part of a compiled graph.

    Args:
        shapes: of each sample.
        frames: the length of a slice along t; 0 keeps samples whole.
    """
    grids = sorted({(height, width) for _, height, width in shapes})
    first = dict(zip(grids, accumulate((height * width for height, width in grids), initial=0), strict=False))
    columns: list[list[Tensor]] = [[] for _ in range(7)]
    lengths, parts = [], []
    for number, (time, height, width) in enumerate(shapes):
        t, h, w = (axis.flatten() for axis in torch.meshgrid(*map(torch.arange, (time, height, width)), indexing="ij"))
        step = frames or max(time, 1)
        cells = first[height, width] + h * width + w
        values = (
            t % step,
            h,
            w,
            torch.zeros_like(t),
            torch.full_like(t, number),
            t.div(step, rounding_mode="floor"),
            cells,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        lengths.append(time * height * width)
        parts += [min(step, time - start) * height * width for start in range(0, time, step)]
    t, h, w, z, sample, slice_of, cells = (torch.cat(column) if column else torch.arange(0) for column in columns)
    return Layout(
        coords=torch.stack((t, h, w, z), dim=1),
        sample=sample,
        samples=Groups(torch.tensor([0, *accumulate(lengths)])),
        slices=Groups(torch.tensor([0, *accumulate(parts)])),
        frames=frames,
        slice_of=slice_of,
        grids=tuple(grids),
        cells=cells,
        last=None,
    )


def fitting(frames: int, height: int, width: int, patch: Shape) -> Shape:
    """Return the number of whole patches of a picture or clip; fewer frames than a patch has count as one patch.

    Raises:
        ValueError: it is smaller than a patch, or has no frame.
    """
    if height < patch[1] or width < patch[2] or frames < 1:
        least = f"at least {patch[1]}x{patch[2]} pixels and one frame"
        raise ValueError(f"a patch needs {least}, got {height}x{width} pixels and {frames} frames")
    return max(frames // patch[0], 1), height // patch[1], width // patch[2]


def crop(x: Tensor, patch: Shape) -> Tensor:
    """Return the whole patches of clips (..., T, C, H, W): cropped about the centre and cut at the end.

    Clips shorter than a patch are filled up with frames of zeros.

    Raises:
        ValueError: a frame is smaller than a patch, or there is none.
    """
    frames, height, width = x.shape[-4], *x.shape[-2:]
    counts = fitting(frames, height, width, patch)
    t, h, w = (count * side for count, side in zip(counts, patch, strict=True))
    top, left = (height - h) // 2, (width - w) // 2
    x = x[..., :t, :, top : top + h, left : left + w]
    return F.pad(x, (0,) * 7 + (t - frames,)) if frames < t else x


def patchify(x: Tensor, patch: Shape) -> Tensor:
    """Cut clips (..., T, C, H, W), a whole number of patches, into rows (..., patches, pixels of a patch).

    Patches are in the order t, h, w, and the numbers of a patch in the order t, h, w, channel.
    """
    shape = [each // side for each, side in zip((x.shape[-4], *x.shape[-2:]), patch, strict=True)]
    x = x.unflatten(-4, (shape[0], patch[0])).unflatten(-2, (shape[1], patch[1])).unflatten(-1, (shape[2], patch[2]))
    # (..., nt, pt, C, nh, ph, nw, pw) to (..., nt, nh, nw, pt, ph, pw, C)
    first = x.dim() - 7
    order = [first + axis for axis in (0, 3, 5, 1, 4, 6, 2)]
    return x.permute(*range(first), *order).flatten(-4).flatten(-4, -2)


def unpatchify(rows: Tensor, shape: Shape, patch: Shape) -> Tensor:
    """Put rows (..., patches, pixels of a patch) together to clips (..., T, C, H, W): :func:`patchify` undone."""
    x = rows.unflatten(-2, shape).unflatten(-1, (*patch, -1))
    first = x.dim() - 7
    # (..., nt, nh, nw, pt, ph, pw, C) to (..., nt, pt, C, nh, ph, nw, pw)
    order = [first + axis for axis in (0, 3, 6, 1, 4, 2, 5)]
    x = x.permute(*range(first), *order)
    return x.flatten(-2).flatten(-3, -2).flatten(-5, -4)
