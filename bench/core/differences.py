"""The difference between two arms over several seeds: pure functions on the correctness of test pictures.

The result of one seed is the difference of two accuracies on the same test pictures. Two things make it uncertain.
Other seeds would train other weights; and other test pictures of the same kind would have been easier for the one arm
or the other. The mean over S seeds and N pictures of d(s, i) in {-1, 0, 1}, block right minus counterpart right,
varies by

    var(mean) = var_seeds / S + var_pictures / N + var_rest / (S N)

(two crossed random factors). The variance of the seeds' means over S estimates the first and the last term, the
variance of the pictures' means over N the second and the last: their sum counts the last twice, on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Verdict = Literal["helps", "hurts", "no difference seen", "too few seeds"]
Right = NDArray[np.bool_]
"""Whether a trained network classified each test picture rightly, in the order of the test set."""


@dataclass(frozen=True)
class PairedDifference:
    """Block minus counterpart, in percentage points of accuracy.

    Attributes:
        value: the mean over seeds.
        each: of each seed, in order.
        spread: their standard deviation; None with one seed.
        seeds_low, seeds_high: the 95 % interval of the mean over seeds (t on the paired differences), on just these
            test pictures; None with one seed.
        low, high: the 95 % interval that covers other seeds and other test pictures too; the verdict rests on it.
        verdict: ``helps`` or ``hurts`` if that interval lies on one side of zero.
    """

    value: float
    each: tuple[float, ...]
    spread: float | None
    seeds_low: float | None
    seeds_high: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Spread:
    """The accuracies of one arm, in per cent.

    Attributes:
        mean: over seeds.
        deviation: the standard deviation over seeds; None with one.
        each: of each seed, in order.
    """

    mean: float
    deviation: float | None
    each: tuple[float, ...]


def spread(accuracies: Sequence[float]) -> Spread:
    """Return the mean and the spread of at least one accuracy.

    Raises:
        ValueError: there is none.
    """
    if not accuracies:
        raise ValueError("no accuracies")
    values = np.asarray(accuracies, np.float64)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), deviation, tuple(accuracies))


def difference(block: Sequence[Right], counterpart: Sequence[Right]) -> PairedDifference:
    """Compare two arms, seed by seed.

    Args:
        block, counterpart: for each seed, the correctness of the test pictures.

    Raises:
        ValueError: there is no seed, or the arms do not have the same seeds and pictures.
    """
    if not block or len(block) != len(counterpart) or len({len(r) for r in (*block, *counterpart)}) != 1:
        raise ValueError("both arms need the same seeds, at least one, and the same test pictures")
    table = np.stack(block).astype(np.float64) - np.stack(counterpart)
    seeds, pictures = table.shape
    each = 100 * table.mean(1)
    value = float(each.mean())
    if seeds == 1:
        return PairedDifference(value, tuple(each.tolist()), None, None, None, None, None, "too few seeds")
    over_seeds = float(each.var(ddof=1)) / seeds
    over_pictures = float((100 * table.mean(0)).var(ddof=1)) / pictures
    near = _quantile(seeds - 1) * sqrt(over_seeds)
    total = over_seeds + over_pictures
    freedom = _freedom((over_seeds, seeds - 1), (over_pictures, pictures - 1))
    far = max(near, _quantile(freedom) * sqrt(total))
    return PairedDifference(
        value=value,
        each=tuple(each.tolist()),
        spread=sqrt(over_seeds * seeds),
        seeds_low=value - near,
        seeds_high=value + near,
        low=value - far,
        high=value + far,
        verdict=_verdict(value - far, value + far),
    )


def _verdict(low: float, high: float) -> Verdict:
    if low > 0:
        return "helps"
    return "hurts" if high < 0 else "no difference seen"


def _freedom(*parts: tuple[float, int]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite, Biometrics Bulletin 2, 1946)."""
    total = sum(variance for variance, _ in parts)
    if not total:
        return float(min(freedom for _, freedom in parts))
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def _quantile(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t."""
    return float(stdtrit(freedom, 0.975))
