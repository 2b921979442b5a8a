"""What configurations say together of a machine's noise."""

import numpy as np
import pytest

from claimbench.bench.core.statistics import NOISE_FLOOR
from claimbench.bench.watch.regress.noise import ENOUGH, LASTING, learn
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


def test_too_few_configurations_say_nothing():
    found = learn(world([0.03] * (ENOUGH - 1)))
    assert found.df == 0
    assert not found.mood


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
