"""Two cuts of the intensity, the least that a network has to beat: background, one structure between, one above."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from claimbench.bench.data.volumes.packaged_volumes import PACKAGED
from claimbench.bench.tasks.medical_segmentation.score import StructureScores, measured

LEVELS = 256
"""The number of intensities between the least and the greatest that cuts are tried at."""


def dice_of_cuts(name: str, data: str | None = None) -> float | None:
    """Return the Dice in per cent on the test slabs of a packaged volume of two structures, as scores of networks are.

    The cuts are those of the highest Dice on the training slabs.

    Raises:
        UserError: the package is missing, or a file is damaged.
    """
    parts = PACKAGED[name].parts(Path(data) if data else None)
    slabs = [volume for part in parts.values() for _, volume in part]
    low, high = min(each.values.min() for each in slabs), max(each.values.max() for each in slabs)

    def levels(values: np.ndarray) -> np.ndarray:
        return np.clip((values - low) / max(high - low, 1e-12) * (LEVELS - 1), 0, LEVELS - 1).astype(np.int64)

    counts = np.zeros((3, LEVELS))
    for _, volume in parts["train"]:
        for label in range(3):
            counts[label] += np.bincount(levels(volume.values[volume.labels == label]), minlength=LEVELS)
    first, second = best(counts)
    scans = [
        measured(np.digitize(levels(volume.values), (first, second)).astype(np.uint8), volume.labels, 2, None)
        for _, volume in parts["test"]
    ]
    return StructureScores(scans).over_structures("dsc").mean


def best(counts: np.ndarray) -> tuple[int, int]:
    """Return the levels from which on a voxel counts as the first and as the second structure.

    Args:
        counts: the voxels (3, levels) of the background and of each structure by intensity.
    """
    below = np.concatenate((np.zeros((3, 1)), counts.cumsum(1)), 1)
    first, second = np.triu_indices(below.shape[1])
    between, above = below[:, second] - below[:, first], below[:, -1:] - below[:, second]
    dice = [
        2 * found[label] / np.maximum(found.sum(0) + counts[label].sum(), 1)
        for label, found in ((1, between), (2, above))
    ]
    place = int(np.argmax(dice[0] + dice[1]))
    return int(first[place]), int(second[place])
