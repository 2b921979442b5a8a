"""By how much one set of rounds takes longer than another, and whether that is more than processes differ anyway.

The unit is the round, a process's median: samples inside one are correlated and count for little. A shift is *settled*
only where three things agree: a test that assumes no distribution (all rounds of one side beyond all of the other's, or
Mann and Whitney's for more rounds), a t test with the noise that the whole comparison knows of, corrected for the
number of comparisons, and a size that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, comb, inf, log, sqrt

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit
from scipy.stats import mannwhitneyu

from claimbench.bench.core.statistics import NOISE_FLOOR
from claimbench.bench.watch.regress.correction import holm
from claimbench.bench.watch.regress.noise import Noise, RoundPair, learn

MATTERS = log(1.025)
"""The smallest shift that matters, as a logarithm: less than 2.5 % is never called slower."""

TO_FIND = log(1.05)
"""The shift that must be found for a comparison to be called the same: 5 %."""

ALPHA = 0.01
"""The chance that a whole comparison of two equal sides calls anything slower; and as much that it does so faster."""

_RANKS = 0.05
"""The level (one-sided) of the test by ranks; three rounds against three cannot reach less."""

_POWER = 0.95

_MARGIN = 1.25
"""More rounds than the formula asks for, since it knows the noise only from those that there are."""


@dataclass(frozen=True)
class Shift:
    """The shift of a configuration; all as logarithms of times, so that positive is slower.

    Attributes:
        raw: Hodges and Lehmann's estimate, the median of all differences between a candidate's and a baseline's round.
        size: the shift less that of the whole machine; this is judged.
        deviation: the standard deviation between rounds that the test reckons with.
        error: the standard error of ``size``, with ``df`` degrees of freedom.
        p_value: one-sided, for all comparisons together (Holm).
        apart: whether the ranks of the rounds alone tell the sides apart.
        low, high: an interval that holds for all comparisons together, each end with ``1 - ALPHA``; None with too few
            rounds.
        needed: the rounds a side that a shift of :data:`TO_FIND` takes under this noise.
    """

    raw: float
    size: float
    deviation: float
    error: float
    df: float
    p_value: float = 1.0
    apart: bool = False
    low: float | None = None
    high: float | None = None
    needed: int = 0

    @property
    def settled(self) -> bool:
        """Whether it is slower or faster beyond doubt."""
        return self.apart and self.p_value <= ALPHA and abs(self.size) > MATTERS

    @property
    def excluded(self) -> bool:
        """Whether a shift of :data:`TO_FIND`, either way, is ruled out."""
        return self.low is not None and self.high is not None and self.low > -TO_FIND and self.high < TO_FIND


@dataclass(frozen=True)
class Shifts:
    """All configurations of a comparison.

    Attributes:
        each: in the order in which they were given.
        machine: the change that all of them have in common; None with too few to say.
    """

    each: tuple[Shift, ...]
    machine: Shift | None


def shifts(pairs: Sequence[RoundPair]) -> Shifts:
    """Return the shift of each configuration, and of the machine as a whole.

    Where the machine's own shift is settled it is part of the finding. Where it is not, it is noise: a configuration
    has moved only by what it moved more than the others.
    """
    noise = learn(pairs)
    raw = [_estimate(pair.baseline.values(), pair.candidate.values()) for pair in pairs]
    machine = _machine(pairs, noise, raw)
    found = []
    for pair, moved in zip(pairs, raw, strict=True):
        deviation, df = noise.own(pair)
        error = deviation * _per_side(pair.rounds)
        size = moved
        if machine is not None and machine.settled:
            error, df = _add(error, df, machine.error, machine.df)
        elif machine is not None:
            size = _nearer_zero(moved, moved - machine.raw)
        apart = _apart(list(pair.baseline.values()), list(pair.candidate.values()))
        p_value = _p_value(size, error, df) if pair.df else 1.0
        found.append(Shift(moved, size, deviation, error, df, p_value, apart))
    adjusted = holm([shift.p_value for shift in found])
    each = tuple(
        _with_interval(replace(shift, p_value=p), pair, len(found))
        for shift, p, pair in zip(found, adjusted, pairs, strict=True)
    )
    return Shifts(each, machine)


def _machine(pairs: Sequence[RoundPair], noise: Noise, raw: Sequence[float]) -> Shift | None:
    """Return the median configuration's shift, tested by the few rounds that there are, however many configurations."""
    moods = [
        [noise.mood[key] for key in sorted({key for side in sides for key in side} & noise.mood.keys())]
        for sides in ([pair.baseline for pair in pairs], [pair.candidate for pair in pairs])
    ]
    counts = (len(moods[0]), len(moods[1]))
    rounds_df = sum(counts) - 2
    if min(counts) < 1 or rounds_df < 1:
        return None
    moved = float(np.median(raw))
    drifted = _drift(moods[0], moods[1])
    variance = sum(float(np.var(side)) * len(side) for side in moods) / rounds_df
    of_median = 1.2533 * 1.4826 * float(np.median(np.abs(np.asarray(raw) - moved))) / sqrt(len(raw))
    deviation = max(sqrt(variance), NOISE_FLOOR / 2)
    error, df = _add(deviation * _per_side(counts), rounds_df, of_median, inf)
    apart = _apart(moods[0], [value + moved for value in moods[1]])
    left = (
        moved - drifted if abs(drifted) < abs(moved) and drifted * moved > 0 else 0.0 if drifted * moved > 0 else moved
    )
    return Shift(moved, left, deviation, error, df, _p_value(left, error, df), apart)


def _drift(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return the shift between the two sides of a machine that drifts on as steadily as inside them."""
    slopes = [float(np.polyfit(range(len(side)), side, 1)[0]) for side in (baseline, candidate) if len(side) > 1]
    return sum(slopes) / len(slopes) * (len(baseline) + len(candidate)) / 2 if slopes else 0.0


def _with_interval(shift: Shift, pair: RoundPair, comparisons: int) -> Shift:
    """Return a shift with its simultaneous interval and the number of rounds that would settle it."""
    level = ALPHA / comparisons
    deviation = shift.error / _per_side(pair.rounds)
    reach = -float(ndtri(level)) + float(ndtri(_POWER))
    needed = max(3, ceil(_MARGIN * 2 * (deviation * reach / TO_FIND) ** 2))
    if not pair.df or not shift.df:
        return replace(shift, needed=needed)
    half = -_quantile(level, shift.df) * shift.error
    return replace(shift, low=shift.size - half, high=shift.size + half, needed=needed)


def _estimate(baseline: Iterable[float], candidate: Iterable[float]) -> float:
    return float(np.median(np.subtract.outer(list(candidate), list(baseline))))


def _apart(baseline: Sequence[float], candidate: Sequence[float]) -> bool:
    """Whether the ranks alone say, at 5 % one-sided, that one side is slower than the other."""
    if comb(len(baseline) + len(candidate), len(baseline)) * _RANKS < 1:
        return False
    if min(baseline) > max(candidate) or max(baseline) < min(candidate):
        return True
    if min(len(baseline), len(candidate)) < 4:
        return False  # only the two orders above are as rare as that
    return float(mannwhitneyu(baseline, candidate, method="auto").pvalue) <= 2 * _RANKS


def _nearer_zero(first: float, second: float) -> float:
    """Return the smaller of two shifts in the same direction; 0 where they point apart."""
    return min(first, second, key=abs) if first * second > 0 else 0.0


def _per_side(rounds: tuple[int, int]) -> float:
    """Return the factor from a deviation between rounds to the error of a difference of sides."""
    return sqrt(1 / rounds[0] + 1 / rounds[1])


def _add(first: float, first_df: float, second: float, second_df: float) -> tuple[float, float]:
    """Return the error of a sum of two, and its degrees of freedom (Satterthwaite's)."""
    total = first**2 + second**2
    spent = sum(error**4 / df for error, df in ((first, first_df), (second, second_df)) if error)
    return sqrt(total), total**2 / spent if spent else inf


def _p_value(size: float, error: float, df: float) -> float:
    """Return the one-sided p-value of a shift in the direction that it has."""
    if not df:
        return 1.0
    statistic = -abs(size) / error
    return float(ndtr(statistic) if df == inf else stdtr(df, statistic))


def _quantile(level: float, df: float) -> float:
    return float(ndtri(level) if df == inf else stdtrit(df, level))
