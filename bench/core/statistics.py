"""Statistics of repeated measurements and of scores: pure functions on numbers.

Times are skewed and have outliers, so everything rests on medians and order statistics; no distribution is assumed.

``scipy.stats`` takes a second to import, so processes that only take times do not import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, log, sqrt
from typing import Literal

import numpy as np
from scipy.special import bdtrik

Z95 = 1.959963984540054
"""The two-sided 95 % quantile of the standard normal distribution."""

SAME_WITHIN = 0.02
"""Two times are the same if all of the ratio's interval lies this close to 1."""

NOISE_FLOOR = 0.01
"""Processes are taken to differ by at least this much, however close a few rounds happen to be."""

TAIL_SAMPLES = 5
"""A percentile is given only if this many samples lie beyond it."""

RESAMPLES = 1000
"""Of a bootstrap."""

Verdict = Literal["same", "faster", "slower", "ambiguous"]


@dataclass(frozen=True)
class Estimate:
    """A median over several rounds.

    Attributes:
        median: the median of the rounds' medians.
        low, high: covers the 95 % interval of the pooled samples and every round's median; None with too few samples.
        between: the spread of the rounds' medians, (largest - smallest) / median; None with a single round.
        medians: of each round.
        samples: the number in all.
    """

    median: float
    low: float | None
    high: float | None
    between: float | None
    medians: tuple[float, ...]
    samples: int


@dataclass(frozen=True)
class Ratio:
    """A ratio with an interval; None if there are too few samples for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """The comparison of a second set of times with a first.

    Attributes:
        verdict: ``faster`` means that the second takes less time.
        ratio: first time over second time, so that 1.5 means 1.5 times as fast.
        reason: for the verdict.
    """

    verdict: Verdict
    ratio: Ratio
    reason: str


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same pictures.

    Attributes:
        only_first, only_second: pictures that one got right and the other wrong.
        p_value: the chance of a split at least this uneven if the two were equally good (exact, two-sided).
    """

    only_first: int
    only_second: int
    p_value: float


def median(samples: Sequence[float]) -> float:
    """Return the median of at least one sample."""
    if not len(samples):
        raise ValueError("no samples")
    return float(np.median(np.asarray(samples, dtype=np.float64)))


def median_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the median from order statistics, or None with fewer than 6 samples.

    The k-th smallest and k-th largest of n samples enclose the median unless fewer than k fall on one side of it, an
    event of binomial probability (W. J. Conover, Practical Nonparametric Statistics, section 3.2).
    """
    rank = _rank(len(samples))
    if rank is None:
        return None
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    return float(ordered[rank - 1]), float(ordered[len(ordered) - rank])


@lru_cache(maxsize=4096)
def _rank(n: int) -> int | None:
    """Return the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %; None if there is none.

    Beyond 1000 samples it is the normal approximation, as in every interval that is stored.
    """
    if n > 1000:
        return floor((n - Z95 * sqrt(n)) / 2)
    return (ceil(bdtrik(0.025, n, 0.5)) if n else 0) or None


def relative_halfwidth(samples: Sequence[float]) -> float | None:
    """Return half the width of the median's interval over the median, or None with too few samples."""
    interval = median_interval(samples)
    if interval is None:
        return None
    middle = median(samples)
    return (interval[1] - interval[0]) / (2 * middle) if middle else None


def percentiles(samples: Sequence[float], wanted: Sequence[float] = (50, 90, 95, 99)) -> dict[str, float]:
    """Return the percentiles that enough samples lie beyond (five), as ``{"p50": ...}``."""
    n = len(samples)
    return {
        f"p{p:g}": float(np.percentile(np.asarray(samples), p)) for p in wanted if n * (100 - p) / 100 >= TAIL_SAMPLES
    }


def combine(rounds: Sequence[Sequence[float]]) -> Estimate:
    """Combine the samples of several rounds, each taken in a process of its own.

    Raises:
        ValueError: there is no round with a sample.
    """
    kept = [r for r in rounds if len(r)]
    if not kept:
        raise ValueError("no samples")
    medians = tuple(median(r) for r in kept)
    middle = median(medians)
    pooled = [sample for r in kept for sample in r]
    interval = median_interval(pooled)
    between = (max(medians) - min(medians)) / middle if len(medians) > 1 and middle else None
    if interval is None:
        return Estimate(middle, None, None, between, medians, len(pooled))
    return Estimate(middle, min(interval[0], *medians), max(interval[1], *medians), between, medians, len(pooled))


def ratio(first: Estimate, second: Estimate) -> Ratio:
    """Return first over second; the interval holds every ratio of values inside the two intervals."""
    value = first.median / second.median
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Ratio(value, None, None)
    return Ratio(value, first.low / second.high, first.high / second.low)


def compare(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Comparison:
    """Compare ``second`` with ``first``: the same, faster or slower; each is the rounds of one configuration.

    A difference counts only if the intervals are apart and the ratio exceeds the spread between processes; sameness
    only if the whole interval of the ratio is within 2 % of 1. All else is ambiguous, and so is a single round.
    """
    a, b = combine(first), combine(second)
    found = ratio(a, b)
    if a.between is None or b.between is None:
        return Comparison("ambiguous", found, "one round says nothing of the spread between processes")
    if found.low is None or found.high is None:
        return Comparison("ambiguous", found, "too few samples for an interval")
    spread = max(a.between, b.between, NOISE_FLOOR)
    if found.low >= 1 - SAME_WITHIN and found.high <= 1 + SAME_WITHIN:
        return Comparison("same", found, f"the ratio's interval lies within {SAME_WITHIN:.0%} of 1")
    if (found.low > 1 or found.high < 1) and abs(log(found.value)) > spread:
        verdict: Verdict = "faster" if found.value > 1 else "slower"
        return Comparison(verdict, found, f"the intervals are apart and processes differ by {spread:.1%}")
    return Comparison("ambiguous", found, f"the intervals overlap or processes differ by as much ({spread:.1%})")


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the Wilson score interval (95 %) of a proportion, as fractions.

    Raises:
        ValueError: not 0 <= successes <= n with n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def resampled(count: int, seed: int = 0) -> np.ndarray:
    """Return the counts of each of ``count`` things in each resampling of as many: (:data:`RESAMPLES`, count)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


def bootstrap_interval(figures: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a figure from its values in resamplings; None if no value is a number."""
    if np.isnan(figures).all():
        return None
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return float(low), float(high)


def paired_test(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """Compare two models on the same pictures by McNemar's exact test.

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"need the same pictures, got {len(first)} and {len(second)}")
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    return PairedTest(only_first, only_second, mcnemar(only_first, only_second))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value: twice the smaller tail of Binomial(n, 1/2)."""
    from scipy.stats import binomtest

    n = only_first + only_second
    return float(binomtest(only_first, n).pvalue) if n else 1.0
