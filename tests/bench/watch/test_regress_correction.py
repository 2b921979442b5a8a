"""Corrected p-values."""

import numpy as np
import pytest

from claimbench.bench.watch.regress.correction import holm


def test_known_answer():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_one_comparison_stays_as_it_is():
    assert holm([0.02]) == [0.02]
    assert holm([0.8]) == [0.8]
    assert holm([]) == []


def test_no_p_value_is_more_than_one():
    assert holm([0.6, 0.9, 0.05]) == pytest.approx([1.0, 1.0, 0.15])


def test_true_nulls_are_rejected_at_all_no_more_often_than_the_level():
    chance = np.random.default_rng(0)
    rejected = sum(min(holm(list(chance.random(30)))) <= 0.05 for _ in range(2000))
    assert rejected / 2000 <= 0.065
