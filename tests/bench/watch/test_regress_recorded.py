"""The test of slowdowns on noise that was recorded, not drawn from a formula: rounds and samples of ``results/``."""

from pathlib import Path

import numpy as np
import pytest

from claimbench.bench.store.store import Store
from claimbench.bench.watch.regress.comparison import compare
from claimbench.bench.watch.regress.noise import RoundPair
from claimbench.bench.watch.regress.series import series
from claimbench.bench.watch.regress.shift import shifts
from claimbench.bench.watch.regress.sides import find
from tests.bench.regress_worlds import SLOWER

RESULTS = Path(__file__).resolve().parents[3] / "results"
RUNS = ("20261121T062850Z-d3ca70", "20261121T091607Z-004652", "20261121T093852Z-730972")
"""Runs of OverLoCK and its baseline on a shared machine whose rounds differ by up to 16 %."""


@pytest.fixture(scope="module")
def recorded():
    """The centred logarithms of every sample of every timed configuration: configuration, then round."""
    store = Store(RESULTS)
    found = []
    for run in RUNS:
        for one in series(store.query(run=run)):
            if one.timed and len(one.rounds) == 3:
                logs = [np.log(store.samples(record)) for record in one.rounds.values()]
                centre = np.mean([np.median(log) for log in logs])
                found.append([log - centre for log in logs])
    assert len(found) >= 25
    return found


def rounds(recorded, chance, run, shift=0.0):
    """Three rounds resampled from a configuration's: first which of its rounds, then samples inside it, in blocks."""
    found = {}
    for number in range(3):
        samples = recorded[chance.integers(3)]
        start = chance.integers(len(samples))
        block = np.roll(samples, -start)[: max(3, len(samples) * 2 // 3)]
        found[run, number] = float(np.median(block)) * np.sqrt(1.5) + shift
    return found


def side_by_side(recorded, chance, slowed=0):
    found = []
    for number, one in enumerate(recorded):
        shift = SLOWER if number < slowed else 0.0
        found.append(RoundPair(rounds(one, chance, "a"), rounds(one, chance, "b", shift)))
    return shifts(found).each


def test_equal_sides_drawn_from_the_recorded_rounds_raise_at_most_one_alarm_in_a_hundred(recorded):
    chance = np.random.default_rng(0)
    alarms = sum(any(s.settled and s.size > 0 for s in side_by_side(recorded, chance)) for _ in range(200))
    assert alarms <= 6  # more come up by chance in fewer than 1 % of experiments at a true rate of 1 %


def test_the_recorded_noise_at_the_size_of_a_quiet_machine_finds_19_of_20_slowdowns(recorded):
    chance = np.random.default_rng(1)
    quiet = [[log * 0.006 / np.std([np.median(log) for log in one], ddof=1) for log in one] for one in recorded]
    found = tried = 0
    for _ in range(150):
        each = side_by_side([quiet[index] for index in chance.permutation(len(quiet))], chance, slowed=2)
        found += sum(shift.settled and shift.size > 0 for shift in each[:2])
        tried += 2
    assert found / tried >= 0.95


def test_on_the_recorded_machine_a_slowdown_of_5_per_cent_is_not_guessed_at(recorded):
    chance = np.random.default_rng(2)
    each = side_by_side(recorded, chance, slowed=len(recorded))
    assert not any(shift.settled for shift in each)
    noisy = [shift for shift in each if not shift.excluded]
    assert len(noisy) > len(each) / 2
    assert all(shift.needed > 3 for shift in noisy)


@pytest.mark.parametrize(("first", "second"), [(RUNS[1], RUNS[2]), (RUNS[2], RUNS[1]), (RUNS[0], RUNS[2])])
def test_real_runs_of_code_whose_speed_did_not_change_raise_no_alarm(first, second):
    outcome = compare(find(first, RESULTS), find(second, RESULTS))
    assert outcome.regressions == []
    times = [finding for finding in outcome.findings if finding.matched.candidate.timed]
    assert times
    assert {finding.verdict for finding in times} <= {"same", "cannot tell"}
    assert all(finding.needed > 0 for finding in times if finding.verdict == "cannot tell")
