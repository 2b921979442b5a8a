"""Shifts between two sets of rounds: known answers, and experiments on simulated noise."""

from itertools import product

import numpy as np
import pytest

from claimbench.bench.watch.regress.shift import ALPHA, MATTERS, shifts
from tests.bench.regress_worlds import SLOWER, pairs, simulated

QUIET = 0.006
"""A quiet machine: three rounds lie about 1 % apart (the range of three is 1.7 standard deviations)."""


def alarms(kind, *, configurations, deviation, comparisons, rounds=3, seed=0):
    """How many of so many comparisons of equal sides call anything slower."""
    chance = np.random.default_rng(seed)
    found = 0
    for _ in range(comparisons):
        world = simulated(kind, chance, configurations, rounds, deviation)
        found += any(shift.settled and shift.size > 0 for shift in shifts(pairs(world[:, 0], world[:, 1])).each)
    return found


def power(kind, *, configurations, deviation, comparisons, rounds=3, slowed=1, seed=1):
    """The share of injected 5 % slowdowns that are found, and found to be slower."""
    chance = np.random.default_rng(seed)
    found = 0
    for _ in range(comparisons):
        world = simulated(kind, chance, configurations, rounds, deviation)
        world[:slowed, 1] += SLOWER
        each = shifts(pairs(world[:, 0], world[:, 1])).each[:slowed]
        found += sum(shift.settled and shift.size > 0 for shift in each)
    return found / (comparisons * slowed)


def sweep(cases, everyday):
    """The cases to parametrize with; those that are not for every day are for the night."""
    return [case if case in everyday else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


KINDS = ("normal", "heavy tails", "uneven", "outliers", "bimodal", "drift", "wandering", "autocorrelated")


@pytest.mark.parametrize(
    ("kind", "deviation"),
    sweep(
        product(KINDS, (QUIET, 0.03)),
        everyday=[("normal", QUIET), ("heavy tails", 0.03), ("wandering", QUIET), ("autocorrelated", 0.03)],
    ),
)
def test_whole_comparisons_of_equal_sides_raise_at_most_one_alarm_in_a_hundred(kind, deviation):
    comparisons = 300
    # Of 300 comparisons at a true rate of 1 %, more than 7 alarms come up in about 1 % of experiments.
    assert alarms(kind, configurations=20, deviation=deviation, comparisons=comparisons) <= 7


@pytest.mark.parametrize("configurations", [1, 8, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 60))])
def test_the_rate_of_alarms_holds_however_many_configurations_are_compared(configurations):
    assert alarms("normal", configurations=configurations, deviation=0.01, comparisons=200) <= 6
    assert alarms("normal", configurations=configurations, deviation=0.05, comparisons=100) <= 4


@pytest.mark.parametrize(
    ("kind", "configurations"),
    sweep(
        [
            *(("normal", number) for number in (1, 3, 20, 60)),
            *(("heavy tails", number) for number in (1, 20, 60)),
            ("autocorrelated", 20),
        ],
        everyday=[("normal", 1), ("normal", 20), ("heavy tails", 20)],
    ),
)
def test_a_quiet_machine_finds_19_of_20_slowdowns_of_5_per_cent_with_three_rounds(kind, configurations):
    assert (
        power(kind, configurations=configurations, deviation=QUIET, comparisons=100 if configurations > 20 else 300)
        >= 0.95
    )


@pytest.mark.parametrize("slowed", [5, 12, 20])
def test_slowdowns_of_many_configurations_are_found_as_well(slowed):
    assert power("normal", configurations=20, deviation=QUIET, comparisons=100, slowed=slowed) >= 0.95


def test_more_rounds_find_on_a_noisy_machine_what_three_cannot():
    few = power("normal", configurations=10, deviation=0.03, comparisons=60)
    chance = np.random.default_rng(5)
    world = simulated("normal", chance, 10, 3, 0.03)
    needed = int(np.median([shift.needed for shift in shifts(pairs(world[:, 0], world[:, 1])).each]))
    many = power("normal", configurations=10, deviation=0.03, comparisons=60, rounds=needed)
    assert few < 0.2
    assert many >= 0.9


def test_a_shift_smaller_than_what_matters_is_never_settled():
    quiet = np.zeros((10, 3)) + np.linspace(0, 1e-4, 3)
    [first, *others] = shifts(pairs(quiet, quiet + 0.02)).each
    assert 0.019 < first.raw < 0.021 < MATTERS
    assert not any(shift.settled for shift in (first, *others))


def test_equal_rounds_rule_a_slowdown_out():
    same = np.zeros((4, 3))
    assert all(shift.excluded and shift.size == 0 for shift in shifts(pairs(same, same)).each)


def test_two_rounds_a_side_are_too_few_whatever_they_show():
    [shift] = shifts(pairs(np.zeros((1, 2)), np.full((1, 2), 0.5))).each
    assert not shift.settled
    assert shift.needed >= 3


def test_one_round_that_went_wrong_does_not_make_a_slowdown():
    baseline = np.array([[0, 0.001, 0.002]])
    candidate = np.array([[0, 0.001, 0.4]])
    [shift] = shifts(pairs(baseline, candidate)).each
    assert abs(shift.raw) < 0.002
    assert not shift.settled


def test_a_shift_of_the_whole_machine_that_its_moods_explain_is_taken_off():
    moods = np.array([[0.0, 0.02, 0.04], [0.05, 0.07, 0.09]])
    world = np.zeros((12, 2, 3)) + moods + np.random.default_rng(0).normal(0, 0.003, (12, 2, 3))
    world[0, 1] += SLOWER
    found = shifts(pairs(world[:, 0], world[:, 1]))
    assert found.machine is not None
    assert not found.machine.settled
    assert found.machine.raw == pytest.approx(0.05, abs=0.005)
    assert found.machine.size == pytest.approx(0, abs=0.01)  # as steadily as it drifts inside the sides
    assert [shift.settled for shift in found.each] == [True] + [False] * 11


def test_a_shift_of_everything_beyond_the_moods_is_settled_for_each():
    world = np.random.default_rng(0).normal(0, 0.004, (12, 2, 3))
    world[:, 1] += SLOWER
    found = shifts(pairs(world[:, 0], world[:, 1]))
    assert found.machine is not None
    assert found.machine.settled
    assert all(shift.settled for shift in found.each)


def test_samples_that_do_not_fix_their_median_widen_the_error():
    from dataclasses import replace

    [pair] = pairs(np.zeros((1, 3)), np.full((1, 3), SLOWER))
    [sure] = shifts([pair]).each
    [unsure] = shifts([replace(pair, within=0.05)]).each
    assert sure.settled
    assert not unsure.settled
    assert unsure.error > sure.error
    assert unsure.p_value > ALPHA
