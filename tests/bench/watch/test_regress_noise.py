"""What configurations say together of a machine's noise."""

from math import inf

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from claimbench.bench.core.statistics import NOISE_FLOOR
from claimbench.bench.watch.regress.noise import LASTING, Noise, RoundPair, _inverse_trigamma, learn
from tests.bench.regress_worlds import pairs


def world(deviations, seed=0, rounds=3):
    chance = np.random.default_rng(seed)
    noise = chance.normal(0, 1, (len(deviations), 2, rounds)) * np.asarray(deviations)[:, None, None]
    return pairs(noise[:, 0], noise[:, 1])


def test_configurations_that_are_alike_lend_each_other_their_variances():
    found = learn(world([0.014] * 200))
    assert found.df > 50
    assert found.variance**0.5 == pytest.approx(0.014, rel=0.1)
    deviation, df = found.own(world([0.014])[0])
    assert deviation == pytest.approx(0.014, rel=0.15)
    assert df > 50


def test_configurations_that_are_not_alike_lend_little():
    found = learn(world(np.exp(np.random.default_rng(1).normal(-3, 1.5, 200))))
    assert found.df < 4


def test_smyths_estimate_recovers_what_variances_were_drawn_from():
    chance = np.random.default_rng(3)
    variances = 0.02**2 * 10 / chance.chisquare(10, 3000)
    found = learn(world(variances**0.5, seed=4))
    assert found.df == pytest.approx(10, rel=0.25)
    assert found.variance**0.5 == pytest.approx(0.02, rel=0.05)


def apart(sides):
    """Pairs of which no two were measured in the same rounds: there is no mood that they share."""
    return [
        RoundPair(
            *(
                {(f"{name}{number}", index): value for index, value in enumerate(side)}
                for name, side in zip("ab", two, strict=True)
            )
        )
        for number, two in enumerate(sides)
    ]


def drawn(deviations, seed=0):
    chance = np.random.default_rng(seed)
    return [(chance.normal(5, s, 2 + i % 3), chance.normal(3, s, 4)) for i, s in enumerate(deviations)]


def smyth(sides):
    """The prior of Smyth (2004), section 6.2, for variances that lie further apart than chance and its error explain.

    Returns its degrees of freedom, which are infinite where they do not, its variance, and the variances themselves.
    """
    count = len(sides)
    df = np.array([len(first) + len(second) - 2 for first, second in sides])
    squares = np.array([sum(((side - side.mean()) ** 2).sum() for side in two) for two in sides])
    variances = squares * count / (count - 1) / df
    logs = np.log(variances) - digamma(df / 2) + np.log(df / 2)
    excess = np.var(logs, ddof=1) - polygamma(1, df / 2).mean() * (1 + (2 / (count - 1)) ** 0.5)
    if excess <= 0:
        return inf, np.exp(logs.mean()), variances, df
    prior = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-3, 1e6)
    return prior, np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)), variances, df


@pytest.mark.parametrize(
    ("deviations", "regime"),
    [
        ([0.001, 0.01, 0.2, 0.004, 0.05, 0.3, 0.02], "some"),
        ([0.0091, 0.0105, 0.0183, 0.0135, 0.0068, 0.0111, 0.0092], "many"),
        ([0.01] * 7, "all"),
    ],
)
def test_the_prior_is_smyths_but_worth_no_more_than_the_other_configurations_are(deviations, regime):
    sides = drawn(deviations)
    prior, variance, variances, df = smyth(sides)
    most = df.sum() - df.mean()
    assert (prior < most, prior < inf) == {"some": (True, True), "many": (False, True), "all": (False, False)}[regime]
    found = learn(apart(sides))
    assert found.mood == {}
    assert found.variance == pytest.approx(variance, rel=1e-5)
    assert found.df == pytest.approx(min(prior, most), rel=1e-5)
    # Wilson and Hilferty: the median of chi-squared with k degrees of freedom is about k (1 - 2 / 9k)^3
    assert found.typical == pytest.approx(np.median(variances / (1 - 2 / (9 * df)) ** 3))
    assert found.inflation == pytest.approx(7 / 6)


@pytest.mark.parametrize("value", [1e-4, 0.03, 0.5, 1.0, polygamma(1, 1.0), 7.0, 1e3])
def test_the_inverse_of_the_trigamma_function(value):
    assert polygamma(1, _inverse_trigamma(value)) == pytest.approx(value, rel=1e-7)


def test_a_side_of_a_single_round_or_none_has_no_degrees_of_freedom():
    assert [
        RoundPair(dict.fromkeys(range(a), 0.0), dict.fromkeys(range(b), 0.0)).df for a, b in ((1, 1), (0, 3), (3, 2))
    ] == [
        0,
        2,
        3,
    ]


def test_only_configurations_with_a_variance_count_towards_the_three_that_it_takes():
    single = RoundPair({("a", 0): 0.1}, {("b", 0): 0.2})
    assert learn([*world([0.03] * 2), single]).df == 0
    assert learn(world([0.03] * 3)).df > 0


def test_residuals_are_distances_from_the_mean_of_their_side_without_the_mood():
    pair = RoundPair({("a", 0): 1.0, ("a", 1): 3.0}, {("b", 0): 10.0, ("b", 1): 11.0})
    assert pair.residuals({}) == pytest.approx([-1, 1, -0.5, 0.5])
    assert pair.residuals({("a", 1): 1.5, ("b", 0): -1.0}) == pytest.approx([-0.25, 0.25, 0, 0])


def own(noise, spread, within=0.0):
    """What noise says of one configuration, two rounds a side that lie ``spread`` apart."""
    return noise.own(RoundPair({("a", 0): 0.0, ("a", 1): spread}, {("b", 0): 7.0, ("b", 1): 7.0 + spread}, within))


def test_a_configurations_variance_is_drawn_towards_the_prior_by_degrees_of_freedom():
    # Four residuals of 0.006: a sum of squares of 1.44e-4, with inflation 1.8e-4, on two degrees of freedom.
    noise = Noise({}, variance=1.2e-4, df=6.0, typical=0.0, inflation=1.25)
    deviation, df = own(noise, 0.012)
    assert deviation == pytest.approx(((6 * 1.2e-4 + 1.8e-4) / 8) ** 0.5)
    assert df == pytest.approx(8)
    assert own(Noise({}, 1.21e-4, inf), 0.012) == (pytest.approx(0.011), inf)


def test_without_a_prior_a_configuration_speaks_for_itself():
    deviation, df = own(learn([]), 0.02)  # four residuals of 0.01
    assert (deviation, df) == (pytest.approx((4 * 0.01**2 / 2) ** 0.5), 2)
    assert own(learn([]), 0.0) == (NOISE_FLOOR, inf)
    assert learn([]).own(RoundPair({("a", 0): 0.0}, {("b", 0): 0.1})) == (NOISE_FLOOR, 0.0)


@pytest.mark.parametrize(
    ("noise", "within"),
    [
        (Noise({}, 2.5e-5, 6.0), 0.0),  # the floor
        (Noise({}, 2.5e-5, 6.0, typical=1.0e-4), 0.0),
        (Noise({}, 2.5e-5, 6.0), 0.01),
    ],
)
def test_what_is_known_to_be_the_least_adds_degrees_of_freedom(noise, within):
    deviation, df = own(noise, 5e-5**0.5, within)  # 2.5e-5 on two degrees of freedom, as the prior is
    assert deviation == pytest.approx(0.01)
    assert df == pytest.approx(8 * (1e-4 / 2.5e-5) ** 2)


@pytest.mark.parametrize(("within", "times"), [(0.012, 1.0), (0.015, 1.0), (0.0225, 1.3), (0.03, 1.6), (0.3, 1.6)])
def test_the_noisier_a_machine_the_longer_its_disturbances_last(within, times):
    """From 1.5 % between rounds on, up to 1.6 times at 3 % and more."""
    assert own(Noise({}, 1e-6, 6.0), 0.001, within)[0] == pytest.approx(times * within)


def test_rounds_that_agree_to_the_last_digit_are_no_trouble():
    found = learn(world([0.0] * 4))
    assert 0 < found.variance < 1e-9
    assert found.own(world([0.0])[0])[0] == NOISE_FLOOR


def test_a_mood_is_the_median_configurations_and_takes_three_of_them():
    sides = [{("r", 0): 0.0, ("r", 1): value} for value in (0.02, 0.04, 0.9)]
    lonely = [{("s", 0): 0.0, ("s", 1): value} for value in (0.02, 0.04)]
    found = learn([RoundPair(side, {("t", number): 0.0}) for number, side in enumerate([*sides, *lonely])])
    assert found.mood == pytest.approx({("r", 0): -0.02, ("r", 1): 0.02})


def test_a_round_in_which_all_were_slow_is_the_machines_mood():
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.001, (30, 2, 3))
    noise[:, 1, 2] += 0.3
    found = learn(pairs(noise[:, 0], noise[:, 1]))
    assert found.mood["b", 2] == pytest.approx(0.2, abs=0.002)
    assert found.mood["b", 0] == pytest.approx(-0.1, abs=0.002)
    assert found.variance**0.5 == pytest.approx(0.001, rel=0.2)


def test_one_that_happens_to_be_quiet_counts_as_the_median_one():
    found = learn([*world([0.014] * 5), *world([1e-4] * 4)])
    assert found.own(world([1e-4])[0])[0] > 0.009


def test_a_noisy_machine_is_taken_to_be_noisier_than_its_rounds_show():
    found = learn(world([0.05] * 200))
    assert found.own(world([0.05])[0])[0] == pytest.approx(LASTING * 0.05, rel=0.1)


def test_no_noise_is_less_than_the_floor():
    deviation, df = learn(world([1e-5] * 20)).own(world([1e-5])[0])
    assert deviation == NOISE_FLOOR
    assert df > 1e3
