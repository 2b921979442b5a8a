"""Accuracies of binary attributes."""

from __future__ import annotations

import numpy as np

from claimbench.bench.core.statistics import bootstrap_interval, resampled


def accuracies(said: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the accuracy and the balanced accuracy of each attribute, as fractions.

    Balanced accuracy is the mean of the rates of true positives and of true negatives; if the faces are all of one
    kind, its rate alone.

    Args:
        said, labels: (N, attributes), whether a face has an attribute.

    Raises:
        ValueError: the shapes differ, or there are no faces.
    """
    if said.shape != labels.shape or not len(labels):
        raise ValueError(f"labels {labels.shape} and predictions {said.shape} must be of the same faces, one at least")
    right = said == labels
    rates = [_share((right & kind).sum(0), kind.sum(0)) for kind in (labels, ~labels)]
    return right.mean(0), np.nanmean(rates, axis=0)


def interval(said: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean accuracy by resampling faces; None with fewer than two."""
    if len(labels) < 2:
        return None
    right = (said == labels).mean(1)
    return bootstrap_interval(resampled(len(right), seed) @ right / len(right))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
