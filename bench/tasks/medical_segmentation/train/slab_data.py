"""The slabs of a packaged volume as tensors, at half of its resolution within slices."""

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
from claimbench.bench.data.volumes.slabs import Part

MULTIPLE = 32
"""Heights and widths are filled up to multiples of it, on the right and below, with background."""


@dataclass(frozen=True)
class SlabTensors:
    """A slab as networks take it.

    Attributes:
        name: its slices.
        values: (D, H, W) in float32 from 0 to 1, by the whole volume's range.
        labels: (D, H, W) classes in int64.
        spacing: along D, H and W in mm; None if it is not known.
        size: the height and width without what was filled up.
    """

    name: str
    values: Tensor
    labels: Tensor
    spacing: Spacing | None
    size: tuple[int, int]


@dataclass(frozen=True)
class SlabData:
    """The parts of a data set, and the number of its classes with the background."""

    parts: dict[Part, list[SlabTensors]]
    classes: int


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
    classes = 1 + packaged.structures
    parts: dict[Part, list[SlabTensors]] = {"train": [], "val": [], "test": []}
    for slab in packaged.slabs.cut(volume.values.shape[packaged.slabs.axis], moved):
        part = volume.slab(packaged.slabs.axis, slab)
        scaled = (part.values - low) / max(high - low, 1e-12)
        title = f"slices {slab.start} to {slab.stop - 1}"
        parts[slab.part].append(_tensors(title, LabelledVolume(scaled, part.labels, part.spacing), classes))
    return SlabData(parts, classes)


def _tensors(name: str, slab: LabelledVolume, classes: int) -> SlabTensors:
    values = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(slab.values)).float()[:, None], 2)[:, 0]
    labels = torch.from_numpy(np.ascontiguousarray(slab.labels)).long()
    shares = F.avg_pool2d(F.one_hot(labels, classes).permute(0, 3, 1, 2).float(), 2)
    spacing = None if slab.spacing is None else (slab.spacing[0], 2 * slab.spacing[1], 2 * slab.spacing[2])
    height, width = values.shape[1:]
    fill = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    return SlabTensors(name, F.pad(values, fill), F.pad(shares.argmax(1), fill), spacing, (height, width))


def slices(slabs: Sequence[SlabTensors]) -> tuple[Tensor, Tensor]:
    """Return all slices (N, 1, H, W) of some slabs and their labels (N, H, W)."""
    return torch.cat([slab.values for slab in slabs])[:, None], torch.cat([slab.labels for slab in slabs])


def blocks(slabs: Sequence[SlabTensors]) -> tuple[Tensor, Tensor]:
    """Return whole slabs (N, 1, D, H, W) and their labels (N, D, H, W)."""
    return torch.stack([slab.values for slab in slabs])[:, None], torch.stack([slab.labels for slab in slabs])
