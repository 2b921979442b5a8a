"""The measures of each structure of a scan, and their means and spreads over scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claimbench.bench.measure.scoring.structures import dice, surface_distances, volumetric_similarity

RULE = (
    "A structure that is neither there nor predicted is left out; one that is only there, or only predicted, has a "
    "Dice and a volumetric similarity of 0 and no surface distance. A scan's score is the mean over its structures; "
    "mean and standard deviation (over n) are those of the scans."
)

MEASURES = tuple(
    f"{name}{unit}"
    for name, units in {
        "dsc": ("",),
        "vs": ("",),
        "msd": ("_voxels", "_mm"),
        "msd_to_truth": ("_voxels", "_mm"),
        "msd_to_prediction": ("_voxels", "_mm"),
    }.items()
    for unit in units
)
"""The measures of a structure: overlaps in per cent, and mean surface distances in voxels and in mm."""

Measured = Mapping[str, float | None]
"""A structure's measures, by name; None for one that is not defined."""


def measured(
    prediction: np.ndarray, labels: np.ndarray, structures: int, spacing: Sequence[float] | None
) -> list[dict[str, float | None]]:
    """Return the measures of each structure of one scan; none at all of one that is neither there nor predicted.

    Args:
        prediction, labels: classes (D, H, W), 0 for the background.
        structures: the number of the other classes.
        spacing: along each axis in mm; None if it is not known.

    Raises:
        ValueError: the shapes differ, or a class does not exist.
    """
    highest = max(int(prediction.max(initial=0)), int(labels.max(initial=0)))
    if highest > structures:
        raise ValueError(f"there is no class {highest}: there are {structures} structures")
    return [_structure(prediction == each, labels == each, spacing) for each in range(1, structures + 1)]


def _structure(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None) -> dict[str, float | None]:
    if not prediction.any() and not truth.any():
        return {}
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    found["dsc"], found["vs"] = 100 * dice(prediction, truth), 100 * volumetric_similarity(prediction, truth)
    for unit, size in (("voxels", None), ("mm", spacing)):
        distances = None if unit == "mm" and size is None else surface_distances(prediction, truth, size)
        if distances is None:
            continue
        found[f"msd_{unit}"] = distances.symmetric
        found[f"msd_to_truth_{unit}"] = distances.to_truth
        found[f"msd_to_prediction_{unit}"] = distances.to_prediction
    return found


@dataclass(frozen=True)
class MeanAndSpread:
    """The mean of a measure over scans, and its standard deviation, over n; None where nothing is left."""

    mean: float | None
    deviation: float | None
    values: tuple[float, ...] = ()


@dataclass
class StructureScores:
    """The measures of all scans; see :data:`RULE`.

    Attributes:
        scans: by scan, the measures of each structure.
    """

    scans: Sequence[Sequence[Measured]] = ()

    def over_structures(self, measure: str) -> MeanAndSpread:
        """Return a measure of whole scans."""
        return _spread([_mean([each.get(measure) for each in scan]) for scan in self.scans])

    def of_structure(self, structure: int, measure: str) -> MeanAndSpread:
        """Return a measure of one structure, by its position."""
        return _spread([scan[structure].get(measure) for scan in self.scans])

    @property
    def absent(self) -> int:
        """The number of structures of scans that are neither there nor predicted."""
        return sum(not each for scan in self.scans for each in scan)

    @property
    def missed(self) -> int:
        """The number of structures of scans that are there and not predicted, or predicted and not there."""
        return sum(bool(each) and each.get("msd_voxels") is None for scan in self.scans for each in scan)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _spread(values: Sequence[float | None]) -> MeanAndSpread:
    known = tuple(value for value in values if value is not None)
    return MeanAndSpread(_mean(known), float(np.std(known)) if len(known) > 1 else None, known)
