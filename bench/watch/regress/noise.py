"""The noise between processes of unchanged code, learnt from every configuration that was measured.

Two things move a round (one process's median time): the machine's mood, which all configurations of that round share
(drift, clocks, neighbours), and noise of the configuration's own. Three rounds a side say little of the latter, but a
run holds many configurations: their variances are moderated as in empirical Bayes, each drawn towards what they have in
common, the more so the more alike they are, and none counts as quieter than the median one. Source: G. K. Smyth, Linear
models and empirical Bayes methods for assessing differential expression, Statistical Applications in Genetics and
Molecular Biology 3 (2004), section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, sqrt

import numpy as np
from scipy.special import digamma, polygamma

from claimbench.bench.core.statistics import NOISE_FLOOR

ENOUGH = 3
"""So many configurations tell what a round's machine did from what each of them did, and lend each other variances."""

NOISY = 0.015
"""A machine is noisy where the rounds of a configuration have a larger standard deviation than this."""

LASTING = 1.6
"""By so much more than their rounds let expect two runs differ on a machine twice as noisy as :data:`NOISY` or more."""

_TINY = 1e-12
"""Added to a variance before its logarithm is taken: rounds may agree to the last digit."""

Key = tuple[str, int]
"""A run's id and the number of a round in it: measurements taken close together in time."""

Side = Mapping[Key, float]
"""The logarithm of the median time of each round."""


@dataclass(frozen=True)
class RoundPair:
    """One configuration's rounds.

    Attributes:
        baseline, candidate: each side's rounds.
        within: the relative standard deviation of a round's median, from its own samples; 0 if not known.
    """

    baseline: Side
    candidate: Side
    within: float = 0.0

    @property
    def rounds(self) -> tuple[int, int]:
        """The number of rounds of each side."""
        return len(self.baseline), len(self.candidate)

    @property
    def df(self) -> int:
        """The degrees of freedom of a variance between rounds that both sides give together."""
        return sum(max(0, count - 1) for count in self.rounds)

    def residuals(self, mood: Mapping[Key, float]) -> list[float]:
        """Return each round's distance from its side's mean, after taking off the machine's mood."""
        found: list[float] = []
        for side in (self.baseline, self.candidate):
            calm = [value - mood.get(key, 0.0) for key, value in side.items()]
            found += [value - sum(calm) / len(calm) for value in calm]
        return found


@dataclass(frozen=True)
class Noise:
    """The noise of the machine, from all configurations of a comparison.

    Attributes:
        mood: the machine's slowness in each round against the mean of its side, as a logarithm; empty if not known.
        variance: the common part of the configurations' own variances between rounds.
        df: the degrees of freedom of that variance; 0 if there are too few configurations.
        typical: the median configuration's variance: one whose few rounds happen to agree is not taken to be quieter.
        inflation: the factor that undoes the loss of variance from subtracting an estimated mood.
    """

    mood: Mapping[Key, float]
    variance: float
    df: float
    typical: float = 0.0
    inflation: float = 1.0

    def own(self, pair: RoundPair) -> tuple[float, float]:
        """Return a configuration's standard deviation between rounds and its degrees of freedom.

        It is never less than :data:`claimbench.bench.core.statistics.NOISE_FLOOR`, however close a few rounds happen
        to be, nor than
        what the samples inside the rounds say. Where the floor counts, which is known, there are more degrees of
        freedom (Satterthwaite's).
        """
        df = pair.df + self.df
        if not df:
            return NOISE_FLOOR, 0.0
        own = self.inflation * sum(residual**2 for residual in pair.residuals(self.mood))
        variance = self.variance if df == inf else (self.df * self.variance + own) / df
        used = max(variance, self.typical, NOISE_FLOOR**2, pair.within**2)
        return _lasting(used**0.5), inf if variance <= 0 else df * (used / variance) ** 2


def _lasting(deviation: float) -> float:
    """Return the deviation to reckon with: a disturbance of a noisy machine lasts longer than a round.

    Rounds that follow one another are then more alike than two runs are. A correlation of a half from round to round
    makes the difference of two runs vary 1.5 times as much as their rounds let expect; a quiet machine has none to
    speak of.
    """
    return deviation * (1 + (LASTING - 1) * min(1.0, max(0.0, deviation / NOISY - 1)))


def learn(pairs: Sequence[RoundPair]) -> Noise:
    """Return the common noise of ``pairs``; none if they are fewer than :data:`ENOUGH`."""
    useful = [pair for pair in pairs if pair.df]
    if len(useful) < ENOUGH:
        return Noise({}, 0.0, 0.0)
    mood = _mood(useful)
    inflation = len(useful) / (len(useful) - 1)
    df = np.asarray([pair.df for pair in useful], dtype=np.float64)
    squares = np.asarray([sum(r**2 for r in pair.residuals(mood)) for pair in useful]) * inflation
    logs = np.log(squares / df + _TINY) - digamma(df / 2) + np.log(df / 2)
    chance = float(np.mean(polygamma(1, df / 2)))  # what the logarithms vary by where all variances are the same
    excess = float(np.var(logs, ddof=1)) - chance * (1 + sqrt(2 / (len(useful) - 1)))
    prior_df = 2 * _inverse_trigamma(excess) if excess > 0 else inf
    shift = float(digamma(prior_df / 2) - np.log(prior_df / 2)) if prior_df < inf else 0.0
    limit = float(np.sum(df) - np.mean(df))
    typical = float(np.median(squares / df / (1 - 2 / (9 * df)) ** 3))  # Wilson and Hilferty's median of chi-squared
    return Noise(mood, exp(float(np.mean(logs)) + shift), min(prior_df, limit), typical, inflation)


def _mood(pairs: Sequence[RoundPair]) -> dict[Key, float]:
    """Return the slowness of each round against the mean of its side, for the median configuration."""
    found: dict[Key, list[float]] = {}
    for pair in pairs:
        for side in (pair.baseline, pair.candidate):
            mean = sum(side.values()) / len(side)
            for key, value in side.items():
                found.setdefault(key, []).append(value - mean)
    return {key: float(np.median(values)) for key, values in found.items() if len(values) >= ENOUGH}


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = ``value`` > 0, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
