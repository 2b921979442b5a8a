"""The definition of the locally shared convolution in plain PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.locally_shared_conv2d.locally_shared_conv2d`."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    rows: int
    columns: int
    stride: int


class Cell(NamedTuple):
    """One cell of the grid.

    Attributes:
        filters: the place of its filters among all.
        out: the rows and columns of the output that belong to it, none of them empty.
        x: the rows and columns of the input that its outputs see.
    """

    filters: int
    out: tuple[slice, slice]
    x: tuple[slice, slice]


def output_size(args: Arguments) -> tuple[int, int]:
    """Return the height and width of the output."""
    height, width = ((n - k) // args.stride + 1 for n, k in zip(args.x.shape[2:], args.weight.shape[3:], strict=True))
    return height, width


def spans(size: int, cells: int) -> list[slice]:
    """Return the positions of each cell where position i of ``size`` belongs to cell floor(i cells / size)."""
    edges = [-(-cell * size // cells) for cell in range(cells + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def cells(args: Arguments) -> Iterator[Cell]:
    """Yield the cells that have outputs, row by row."""
    kernel = args.weight.shape[3:]
    height, width = output_size(args)

    def seen(out: slice, size: int) -> slice:
        return slice(out.start * args.stride, (out.stop - 1) * args.stride + size)

    for i, down in enumerate(spans(height, args.rows)):
        for j, across in enumerate(spans(width, args.columns)):
            if down.start < down.stop and across.start < across.stop:
                yield Cell(i * args.columns + j, (down, across), (seen(down, kernel[0]), seen(across, kernel[1])))


def locally_shared_conv2d(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.locally_shared_conv2d.locally_shared_conv2d`."""
    x, weight, bias = args.x, args.weight, args.bias
    bands: dict[int, list[Tensor]] = {}
    for cell in cells(args):
        shift = None if bias is None else bias[cell.filters]
        found = F.conv2d(x[:, :, cell.x[0], cell.x[1]], weight[cell.filters], shift, args.stride)
        bands.setdefault(cell.out[0].start, []).append(found)
    return torch.cat([torch.cat(band, dim=3) for band in bands.values()], dim=2)
