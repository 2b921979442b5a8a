"""How well one structure of a picture or volume was found: its overlap with the truth and the distance of surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt


@dataclass(frozen=True)
class SurfaceDistances:
    """Mean distances between two surfaces.

    Attributes:
        to_truth: from the voxels of the predicted surface to the true surface.
        to_prediction: from the voxels of the true surface to the predicted surface.
        symmetric: from the voxels of both surfaces, together, to the other one.
    """

    to_truth: float
    to_prediction: float
    symmetric: float


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return 2 |A and B| / (|A| + |B|) of two masks; nan if both are empty.

    Raises:
        ValueError: their shapes differ.
    """
    common, predicted, true = _sizes(prediction, truth)
    return 2 * common / (predicted + true) if predicted + true else float("nan")


def volumetric_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return 1 - |FN - FP| / (2 TP + FP + FN) of two masks, whatever their place; nan if both are empty.

    Source: Taha and Hanbury, BMC Medical Imaging 2015, equation 12.

    Raises:
        ValueError: their shapes differ.
    """
    _, predicted, true = _sizes(prediction, truth)
    return 1 - abs(predicted - true) / (predicted + true) if predicted + true else float("nan")


def surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask with a face neighbour outside it, or outside the picture."""
    return mask & ~binary_erosion(mask, border_value=0)


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None
) -> SurfaceDistances | None:
    """Return the mean distances between the surfaces of two masks of any dimension; None if one mask is empty.

    Distances are those of voxel centres.

    Args:
        prediction, truth: of one shape; what is not zero belongs to the structure.
        spacing: the distance of neighbouring voxels along each axis, in mm; None for distances in voxels.

    Raises:
        ValueError: the shapes differ, or there is not a positive spacing for each axis.
    """
    common, predicted, true = _sizes(prediction, truth)
    if spacing is not None and (len(spacing) != truth.ndim or not all(0 < each < np.inf for each in spacing)):
        raise ValueError(f"the spacing must be {truth.ndim} positive lengths, got {tuple(spacing)}")
    if not predicted or not true:
        return None
    if common == predicted == true:
        return SurfaceDistances(0.0, 0.0, 0.0)
    inside = _bounds(prediction != 0, truth != 0)
    surfaces = [surface(np.pad(mask[inside] != 0, 1)) for mask in (prediction, truth)]
    away = [distance_transform_edt(~each, sampling=spacing) for each in surfaces]
    to_truth, to_prediction = away[1][surfaces[0]], away[0][surfaces[1]]
    return SurfaceDistances(
        float(to_truth.mean()), float(to_prediction.mean()), float(np.concatenate((to_truth, to_prediction)).mean())
    )


def _sizes(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """Return the sizes of the masks' intersection and of each."""
    if prediction.shape != truth.shape:
        raise ValueError(f"a prediction of {prediction.shape} does not fit a truth of {truth.shape}")
    predicted, true = prediction != 0, truth != 0
    return int((predicted & true).sum()), int(predicted.sum()), int(true.sum())


def _bounds(first: np.ndarray, second: np.ndarray) -> tuple[slice, ...]:
    """Return the box that holds both masks: nothing outside it matters for the distances."""
    places = np.nonzero(first | second)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
