"""Intersection over union from counts of each picture, and its confidence interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import distance_transform_edt

from claimbench.bench.core.statistics import bootstrap_interval, resampled
from claimbench.bench.tasks.semantic_segmentation.catalogue import VOID


def counts_of(labels: np.ndarray, predicted: np.ndarray, classes: int, where: np.ndarray | None = None) -> np.ndarray:
    """Return one picture's counts (3, classes): pixels that are right, that are labelled so, that are predicted so.

    Args:
        labels: (H, W), :data:`VOID` where a pixel does not count.
        predicted: (H, W) class numbers.
        classes: their number.
        where: (H, W), whether a pixel counts; None for all.

    Raises:
        ValueError: the shapes differ, or a class does not exist.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"labels are {labels.shape} and predictions {predicted.shape}")
    counted = labels != VOID
    if where is not None:
        counted &= where
    true, found = labels[counted].astype(np.int64), predicted[counted].astype(np.int64)
    if len(true) and max(true.max(), found.max()) >= classes:
        raise ValueError(f"a label or prediction is not below {classes}")
    return np.stack([np.bincount(each, minlength=classes) for each in (true[true == found], true, found)])


@dataclass
class Overlap:
    """The counts of many pictures; see :func:`counts_of`.

    Attributes:
        classes: their number.
    """

    classes: int
    _counts: list[np.ndarray] = field(default_factory=list)

    def add(self, labels: np.ndarray, predicted: np.ndarray, where: np.ndarray | None = None) -> None:
        """Count one picture; see :func:`counts_of`."""
        self.take(counts_of(labels, predicted, self.classes, where))

    def take(self, counts: np.ndarray) -> None:
        """Take the counts (3, classes) of one picture."""
        self._counts.append(counts)

    def __len__(self) -> int:
        """Return the number of pictures counted."""
        return len(self._counts)

    @property
    def counts(self) -> bool:
        """Whether any pixel was counted."""
        return bool(self._total()[1].any())

    def per_class(self) -> list[float | None]:
        """Return the intersection over union of each class, as fractions; None for one that occurs nowhere."""
        ratios = _ratios(self._total())
        return [None if np.isnan(ratio) else float(ratio) for ratio in ratios]

    def mean(self) -> float:
        """Return the mean over the classes that are labelled or predicted somewhere; nan if there is none."""
        return _mean(_ratios(self._total()[None]))[0]

    def pixel_accuracy(self) -> float:
        """Return the share of pixels that are right; nan if none counts."""
        right, labelled, _ = self._total().sum(1)
        return float(right / labelled) if labelled else float("nan")

    def interval(self, seed: int = 0) -> tuple[float, float] | None:
        """Return the 95 % interval of :meth:`mean` by resampling pictures; None with fewer than two."""
        if len(self._counts) < 2:
            return None
        counts = np.stack(self._counts).reshape(len(self._counts), -1).astype(np.float64)
        totals = resampled(len(counts), seed) @ counts
        return bootstrap_interval(_mean(_ratios(totals.reshape(-1, 3, self.classes))))

    def _total(self) -> np.ndarray:
        empty = np.zeros((3, self.classes), np.int64)
        return np.sum(self._counts, axis=0) if self._counts else empty


def _ratios(counts: np.ndarray) -> np.ndarray:
    """Return intersection over union (..., classes) of counts (..., 3, classes); nan where the union is empty."""
    right, labelled, predicted = (counts[..., i, :].astype(np.float64) for i in range(3))
    union = labelled + predicted - right
    return np.divide(right, union, out=np.full_like(right, np.nan), where=union > 0)


def _mean(ratios: np.ndarray) -> np.ndarray:
    """Return the mean of each row's numbers; nan for a row without any."""
    present = ~np.isnan(ratios)
    total, number = np.where(present, ratios, 0).sum(-1), present.sum(-1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def distance_to_boundary(labels: np.ndarray) -> np.ndarray:
    """Return the distance in pixels (H, W) of each pixel of a mask (H, W) to the nearest pixel on a boundary.

    On a boundary is a pixel with a neighbour above, below, left or right of another label; void is a label here, as VOC
    draws it along the outlines of objects. Where there is no boundary the distance is infinite.
    """
    edge = np.zeros(labels.shape, bool)
    rows, columns = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    if not edge.any():
        return np.full(labels.shape, np.inf)
    return distance_transform_edt(~edge)


def bands(labels: np.ndarray, widths: Iterable[float]) -> dict[float, np.ndarray]:
    """Return, for each width, which pixels (H, W) are less than so many pixels from a boundary's pixel.

    Width 1 holds the pixels on boundaries alone: one on either side of each.
    """
    distance = distance_to_boundary(labels)
    return {width: distance < width for width in widths}
