"""The scores of human parsing from pixel counts: accuracies, and precision, recall and F1 of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from claimbench.bench.core.statistics import bootstrap_interval, resampled


def counts_of(labels: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """Return one picture's counts (3, count): pixels that are right, that are labelled so, that are predicted so.

    Args:
        labels, predicted: (H, W), integers.
        count: the number of labels.

    Raises:
        ValueError: the shapes differ, or a label does not exist.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"labels are {labels.shape} and predictions {predicted.shape}")
    true, found = labels.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    if len(true) and max(true.max(), found.max()) >= count:
        raise ValueError(f"a label or prediction is not below {count}")
    return np.stack([np.bincount(each, minlength=count) for each in (true[true == found], true, found)])


@dataclass(frozen=True)
class Parsing:
    """The scores of a set, as fractions.

    Attributes:
        accuracy: of all pixels. ``foreground_accuracy``: of those whose true label is not the background, number 0.
        precision, recall, f1: (labels,); 0 for a label of which nothing is predicted, or nothing is true.
        true: (labels,), whether a label occurs in the truth.
    """

    accuracy: float
    foreground_accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    true: np.ndarray

    def rows(self) -> dict[str, float]:
        """Return the scores by the names of the task's rows; nan if no pixel counts in one."""
        return {
            "avg_f1": float(self.f1.mean()),
            "accuracy": self.accuracy,
            "foreground_accuracy": self.foreground_accuracy,
            "avg_precision": float(self.precision.mean()),
            "avg_recall": float(self.recall.mean()),
            "avg_f1_foreground": float(self.f1[1:].mean()),
            "avg_f1_present": float(self.f1[self.true].mean()) if self.true.any() else float("nan"),
        }


def parsing(counts: np.ndarray) -> Parsing:
    """Return the scores from the counts (3, labels) of a whole set; see :func:`counts_of`."""
    right, true, predicted = (counts[i].astype(np.float64) for i in range(3))
    whole, foreground = true.sum(), true[1:].sum()
    return Parsing(
        accuracy=float(right.sum() / whole) if whole else float("nan"),
        foreground_accuracy=float(right[1:].sum() / foreground) if foreground else float("nan"),
        precision=_share(right, predicted),
        recall=_share(right, true),
        f1=_share(2 * right, true + predicted),
        true=true > 0,
    )


def interval(counts: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean F1 by resampling pictures, from their counts; None with fewer than two."""
    if len(counts) < 2:
        return None
    flat = np.stack(counts).reshape(len(counts), -1).astype(np.float64)
    totals = (resampled(len(counts), seed) @ flat).reshape(-1, *counts[0].shape)
    f1 = _share(2 * totals[:, 0], totals[:, 1] + totals[:, 2])
    return bootstrap_interval(f1.mean(-1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
