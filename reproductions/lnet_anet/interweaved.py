"""Networks with locally shared filters on every patch of a picture: patch by patch, and interweaved in one pass.

In one pass every filter is applied to the whole picture. A value inside a patch then depends on its place in the patch
only through the filters on its way: places with the same ones share a map, and a layer joins the maps that its filters
see (section 2.2 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import gcd
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from claimbench.kernels.locally_shared_conv2d import locally_shared_conv2d

__all__ = ["Layer", "LocalConv", "MaxPool", "Patches", "interweaved", "patch_by_patch"]


class LocalConv(NamedTuple):
    """A locally shared convolution without padding, and a ReLU behind it if ``relu`` says so; see the operator."""

    weight: Tensor
    bias: Tensor | None
    grid: tuple[int, int]
    stride: int = 1
    relu: bool = True

    @property
    def kernel(self) -> tuple[int, int]:
        """The height and width of a filter."""
        return self.weight.shape[3], self.weight.shape[4]


class MaxPool(NamedTuple):
    """Max-pooling without padding."""

    size: int
    stride: int

    @property
    def kernel(self) -> tuple[int, int]:
        """The height and width of a window."""
        return self.size, self.size


Layer = LocalConv | MaxPool


@dataclass(frozen=True)
class _Axis:
    """The places inside a patch along one axis.

    Attributes:
        keys: of each place, the class of places with the same filters on their way.
        jump: the distance between two places, in pixels.
        step: the distance between the positions of a map, in pixels; divides ``jump`` and the patches' stride.
    """

    keys: tuple[int, ...]
    jump: int = 1
    step: int = 1


@dataclass(frozen=True)
class _Way:
    """The values that make up a new value along one axis.

    Attributes:
        cell: of the new value.
        runs: (key, first tap, last tap + 1) of neighbouring taps on one class of places.
    """

    cell: int
    runs: tuple[tuple[int, int, int], ...]


def _next(axis: _Axis, size: int, stride: int, cells: int, patches: int) -> tuple[_Axis, list[_Way]]:
    """Return an axis after a layer, and the way to each class of its places."""
    count = (len(axis.keys) - size) // stride + 1
    ways = []
    for i in range(count):
        runs, first = [], 0
        for key, members in groupby(axis.keys[i * stride : i * stride + size]):
            last = first + len(list(members))
            runs.append((key, first, last))
            first = last
        ways.append(_Way(i * cells // count, tuple(runs)))
    classes = list(dict.fromkeys(ways))
    jump = axis.jump * stride
    return _Axis(tuple(classes.index(way) for way in ways), jump, gcd(jump, patches)), classes


@dataclass(frozen=True)
class _Step:
    """A layer on maps over the whole picture; all fields are (along rows, along columns).

    Attributes:
        ways: to each class of places behind the layer.
        taps: the distance between two taps, in positions of the maps before it.
        strides: the distance between two outputs, likewise.
    """

    ways: tuple[list[_Way], list[_Way]]
    taps: tuple[int, int]
    strides: tuple[int, int]


@dataclass(frozen=True)
class Patches:
    """The patches of a picture and the way of layers over them.

    Attributes:
        size: the height and width of a patch.
        stride: the distance between patches.
        steps: of the layers, if they run over the whole picture.
        places: of the last layer's outputs in a patch, along rows and along columns.
    """

    size: tuple[int, int]
    stride: int
    steps: tuple[_Step, ...]
    places: tuple[_Axis, _Axis]

    @classmethod
    def of(cls, layers: Sequence[Layer], size: tuple[int, int], stride: int) -> Patches:
        """Return the patches of some size that lie ``stride`` pixels apart.

        Raises:
            ValueError: a patch is too small for the layers, or the stride is not positive.
        """
        if stride < 1:
            raise ValueError(f"the stride of patches must be at least 1, got {stride}")
        before, steps = (_Axis((0,) * size[0]), _Axis((0,) * size[1])), []
        for layer in layers:
            grid = layer.grid if isinstance(layer, LocalConv) else (1, 1)
            if any(len(axis.keys) < side for axis, side in zip(before, layer.kernel, strict=True)):
                raise ValueError(f"a patch of {size[0]}x{size[1]} pixels is too small for the layers")
            rows, columns = (
                _next(axis, side, layer.stride, cells, stride)
                for axis, side, cells in zip(before, layer.kernel, grid, strict=True)
            )
            after = (rows[0], columns[0])
            taps, strides = zip(
                *((old.jump // old.step, new.step // old.step) for old, new in zip(before, after, strict=True)),
                strict=True,
            )
            steps.append(_Step((rows[1], columns[1]), taps, strides))
            before = after
        return cls(size, stride, tuple(steps), before)

    @property
    def out(self) -> tuple[int, int]:
        """The height and width of the last map of a patch."""
        return len(self.places[0].keys), len(self.places[1].keys)

    def counted(self, x: Tensor) -> tuple[int, int]:
        """Return the rows and columns of patches in pictures (N, C, H, W).

        Raises:
            ValueError: not one patch fits.
        """
        rows, columns = ((n - side) // self.stride + 1 for n, side in zip(x.shape[2:], self.size, strict=True))
        if rows < 1 or columns < 1:
            shown = f"{self.size[0]}x{self.size[1]}"
            raise ValueError(f"a picture of {x.shape[2]}x{x.shape[3]} pixels holds no patch of {shown}")
        return rows, columns


def patch_by_patch(layers: Sequence[Layer], x: Tensor, patches: Patches) -> Tensor:
    """Return the layers' output for each patch of pictures (N, C, H, W): (N, P, Q, O, h, w), every patch alone.

    Raises:
        ValueError: not one patch fits into the pictures.
    """
    patches.counted(x)
    cut = x.unfold(2, patches.size[0], patches.stride).unfold(3, patches.size[1], patches.stride)
    each = cut.permute(0, 2, 3, 1, 4, 5)  # (N, P, Q, C, height, width)
    y = each.reshape(-1, *each.shape[3:])
    for layer in layers:
        if isinstance(layer, MaxPool):
            y = F.max_pool2d(y, layer.size, layer.stride)
        else:
            y = locally_shared_conv2d(y, layer.weight, layer.bias, layer.grid, layer.stride)
            y = F.relu(y) if layer.relu else y
    return y.view(*each.shape[:3], *y.shape[1:])


_Maps = dict[tuple[int, int], Tensor]
"""Maps (N, C, h, w) over the whole picture, by the classes of places along both axes."""


def interweaved(layers: Sequence[Layer], x: Tensor, patches: Patches) -> Tensor:
    """Return the same as :func:`patch_by_patch`, with the work that patches have in common done once."""
    counts = patches.counted(x)
    maps: _Maps = {(0, 0): x}
    for layer, step in zip(layers, patches.steps, strict=True):
        down, across = step.ways
        maps = {
            (i, j): _joined(layer, maps, (row, column), step)
            for i, row in enumerate(down)
            for j, column in enumerate(across)
        }
    rows, columns = patches.places
    values = [
        maps[i, j][
            :,
            :,
            _every(rows, at_row, patches.stride, counts[0]),
            _every(columns, at_column, patches.stride, counts[1]),
        ]
        for at_row, i in enumerate(rows.keys)
        for at_column, j in enumerate(columns.keys)
    ]
    return torch.stack(values, dim=-1).unflatten(-1, patches.out).permute(0, 2, 3, 1, 4, 5)


def _every(axis: _Axis, place: int, stride: int, count: int) -> slice:
    """Return the positions in a map that hold a place of each patch."""
    first, step = place * axis.jump // axis.step, stride // axis.step
    return slice(first, first + (count - 1) * step + 1, step)


def _joined(layer: Layer, maps: _Maps, ways: tuple[_Way, _Way], step: _Step) -> Tensor:
    """Return the map of one class of places behind a layer: what it makes of each map that it sees, put together."""
    height, width = (
        (size - (kernel - 1) * taps - 1) // stride + 1
        for size, kernel, taps, stride in zip(maps[0, 0].shape[2:], layer.kernel, step.taps, step.strides, strict=True)
    )
    down, across = ways
    parts: list[Tensor] = []
    for i, top, bottom in down.runs:
        for j, left, right in across.runs:
            seen = maps[i, j][:, :, top * step.taps[0] :, left * step.taps[1] :]
            if isinstance(layer, MaxPool):
                part = F.max_pool2d(seen, (bottom - top, right - left), step.strides, dilation=step.taps)
            else:
                cell = down.cell * layer.grid[1] + across.cell
                filters = layer.weight[cell, :, :, top:bottom, left:right]
                bias = None if layer.bias is None or parts else layer.bias[cell]
                part = F.conv2d(seen, filters, bias, step.strides, dilation=step.taps)
            parts.append(part[:, :, :height, :width])
    found = parts[0]
    for part in parts[1:]:
        found = torch.maximum(found, part) if isinstance(layer, MaxPool) else found + part
    return F.relu(found) if isinstance(layer, LocalConv) and layer.relu else found
