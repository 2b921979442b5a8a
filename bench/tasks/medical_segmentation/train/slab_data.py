"""The slabs of a packaged volume as tensors: at half of its resolution within slices, cut to where structures are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.data.volumes.nifti import Spacing
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED, LabelledVolume
from claimbench.bench.data.volumes.slabs import Part, Slab

MULTIPLE = 32
"""Heights and widths of what networks see are multiples of it."""

MARGIN = 4
"""The least distance in pixels from a structure of a training slab to the edge of what networks see."""


@dataclass(frozen=True)
class Window:
    """The rows ``top`` to ``bottom`` - 1 and columns ``left`` to ``right`` - 1 of each slice, which networks see."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, slices: Tensor) -> Tensor:
        """Return this window of slices (..., H, W)."""
        return slices[..., self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class SlabTensors:
    """A slab at half of its resolution within slices.

    Attributes:
        name: its slices.
        values: (D, H, W) in float32 from 0 to 1, by the whole volume's range.
        labels: (D, H, W) classes in int64.
        spacing: along D, H and W in mm; None if it is not known.
    """

    name: str
    values: Tensor
    labels: Tensor
    spacing: Spacing | None


@dataclass(frozen=True)
class SlabData:
    """The parts of a data set, the number of its classes with the background, and the window of its slices.

    The window holds all structures of the training slabs; outside it everything counts as background.
    """

    parts: dict[Part, list[SlabTensors]]
    classes: int
    window: Window

    def slices(self, slabs: Sequence[SlabTensors]) -> tuple[Tensor, Tensor]:
        """Return the window of all slices (N, 1, h, w) of some slabs, and their labels (N, h, w)."""
        values, labels = (torch.cat([getattr(slab, name) for slab in slabs]) for name in ("values", "labels"))
        return self.window.of(values)[:, None], self.window.of(labels)

    def blocks(self, slabs: Sequence[SlabTensors]) -> tuple[Tensor, Tensor]:
        """Return the window of whole slabs (N, 1, D, h, w), and their labels (N, D, h, w)."""
        values, labels = (torch.stack([getattr(slab, name) for slab in slabs]) for name in ("values", "labels"))
        return self.window.of(values)[:, None], self.window.of(labels)


def read(name: str, folder: Path | None, moved: int = 0) -> SlabData:
    """Return the slabs of a packaged volume.

    Args:
        name: of the data set.
        folder: of its files; None for where its package is installed.
        moved: slices by which all slabs are moved on.

    Raises:
        UserError: its package is missing, or a file is damaged.
    """
    packaged = PACKAGED[name]
    volume = packaged.read(folder)
    low, high = float(volume.values.min()), float(volume.values.max())
    scaled = LabelledVolume((volume.values - low) / max(high - low, 1e-12), volume.labels, volume.spacing)
    classes, axis = 1 + packaged.structures, packaged.slabs.axis
    parts: dict[Part, list[SlabTensors]] = {"train": [], "val": [], "test": []}
    for slab in packaged.slabs.cut(volume.values.shape[axis], moved):
        parts[slab.part].append(_tensors(slab, scaled.slab(axis, slab), classes))
    return SlabData(parts, classes, _window(torch.cat([slab.labels for slab in parts["train"]])))


def _tensors(place: Slab, slab: LabelledVolume, classes: int) -> SlabTensors:
    values = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(slab.values)).float()[:, None], 2)[:, 0]
    labels = torch.from_numpy(np.ascontiguousarray(slab.labels)).long()
    shares = F.avg_pool2d(F.one_hot(labels, classes).permute(0, 3, 1, 2).float(), 2)
    height, width = values.shape[1:]
    fill = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    spacing = None if slab.spacing is None else (slab.spacing[0], 2 * slab.spacing[1], 2 * slab.spacing[2])
    name = f"slices {place.start} to {place.stop - 1}"
    return SlabTensors(name, F.pad(values, fill), F.pad(shares.argmax(1), fill), spacing)


def _window(labels: Tensor) -> Window:
    """Return the smallest window of slices (N, H, W) with sides that are multiples of 32 that holds all structures."""
    sides = []
    for axis in (1, 2):
        found = (labels > 0).any(dim=0).any(dim=2 - axis).nonzero()[:, 0]
        whole = labels.shape[axis]
        least = int(found[-1] - found[0]) + 1 + 2 * MARGIN if len(found) else whole
        side = min(whole, -(-least // MULTIPLE) * MULTIPLE)
        middle = int(found[-1] + found[0] + 1) // 2 if len(found) else whole // 2
        start = min(max(0, middle - side // 2), whole - side)
        sides += [start, start + side]
    return Window(*sides)
