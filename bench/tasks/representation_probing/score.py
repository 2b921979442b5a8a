"""The scores of probing: the accuracy of a head over seeds, and its gain over a linear probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from claimbench.bench.core.differences import PairedDifference, difference


def accuracy(right: Sequence[np.ndarray]) -> PairedDifference:
    """Return the mean accuracy in per cent of several seeds; ``right`` says of each which pictures (n,) were right."""
    return difference(right, [np.zeros_like(each) for each in right])


def gain(right: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> PairedDifference:
    """Return the gain in points of one head over another, in pairs of the same seed and picture."""
    return difference(right, other)
