"""What several seeds say of a difference."""

import numpy as np
import pytest
from scipy import stats

from claimbench.bench.core.bits import decode, encode
from claimbench.bench.core.differences import _verdict, difference, spread


def rights(generator, accuracies, pictures=2000):
    """For each accuracy, which pictures are right: hard ones are wrong for all."""
    ease = generator.random(pictures)
    return [ease + 0.05 * generator.standard_normal(pictures) < accuracy for accuracy in accuracies]


def test_the_interval_over_seeds_is_that_of_a_paired_t_test():
    generator = np.random.default_rng(0)
    block, counterpart = rights(generator, [0.9, 0.91, 0.92, 0.9]), rights(generator, [0.88, 0.9, 0.89, 0.89])
    found = difference(block, counterpart)
    accuracies = [[100 * r.mean() for r in arm] for arm in (block, counterpart)]
    expected = stats.ttest_rel(*accuracies).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(accuracies[0]) - np.mean(accuracies[1]))
    assert (found.seeds_low, found.seeds_high) == pytest.approx((expected.low, expected.high))
    assert found.spread == pytest.approx(np.std(np.subtract(*accuracies), ddof=1))


def test_the_wide_interval_holds_the_narrow_one_and_knows_the_pictures():
    right = np.zeros(1000, bool)
    block, counterpart = right.copy(), right.copy()
    block[:30] = True  # the same for each seed: no spread over seeds at all
    counterpart[30:40] = True
    found = difference([block] * 3, [counterpart] * 3)
    assert found.value == pytest.approx(2.0)
    assert found.seeds_low == found.seeds_high == pytest.approx(2.0)
    per_picture = 100 * (block.astype(float) - counterpart)
    half = stats.t.ppf(0.975, 999) * per_picture.std(ddof=1) / np.sqrt(1000)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert found.verdict == "helps"
    assert difference([counterpart] * 3, [block] * 3).verdict == "hurts"


def test_the_wide_interval_adds_both_variances_and_satterthwaites_degrees_of_freedom():
    block = [np.array(right, bool) for right in ([1, 1, 1, 0, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0])]
    counterpart = [np.array(right, bool) for right in ([0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0])]
    found = difference(block, counterpart)
    assert found.each == (60, 40, 80)
    assert found.value == pytest.approx(60)
    seeds = (20**2 + 20**2) / 2 / 3
    pictures = (40**2 + 40**2 + (20 / 3) ** 2 + (80 / 3) ** 2 + 60**2) / 4 / 5  # 100, 100, 66.7, 33.3 and 0 points
    freedom = (seeds + pictures) ** 2 / (seeds**2 / 2 + pictures**2 / 4)
    half = stats.t.ppf(0.975, freedom) * (seeds + pictures) ** 0.5
    assert (found.low, found.high) == pytest.approx((60 - half, 60 + half))
    assert found.low > 60 - stats.t.ppf(0.975, 2) * (seeds + pictures) ** 0.5, "more degrees of freedom than seeds give"
    assert found.verdict == "helps"


def test_arms_that_are_the_same_differ_by_nothing_and_for_sure():
    right = [np.array([True, False, True])] * 2
    found = difference(right, right)
    assert found.each == (0.0, 0.0)
    assert (found.low, found.high, found.verdict) == (0.0, 0.0, "no difference seen")


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (-0.5, 99), (-99, 0.5), (0, 1), (-1, 0)])
def test_an_interval_that_reaches_zero_is_no_verdict(low, high):
    assert _verdict(low, high) == "no difference seen"


def test_arms_that_are_alike_are_not_told_apart_more_often_than_promised():
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        ease = generator.random(500)
        block, counterpart = (
            [ease + 0.3 * generator.standard_normal(500) < 0.8 + 0.02 * generator.standard_normal() for _ in range(4)]
            for _ in range(2)
        )
        wrong += difference(block, counterpart).verdict != "no difference seen"
    assert wrong <= 0.08 * 300


def test_one_seed_gives_no_interval_and_no_verdict():
    found = difference([np.ones(10, bool)], [np.zeros(10, bool)])
    assert (found.value, found.low, found.spread, found.verdict) == (100.0, None, None, "too few seeds")
    assert found.each == (100.0,)


@pytest.mark.parametrize(
    ("block", "counterpart"), [([], []), ([np.ones(3, bool)], []), ([np.ones(3, bool)], [np.ones(4, bool)])]
)
def test_arms_that_do_not_match_are_refused(block, counterpart):
    with pytest.raises(ValueError, match="same seeds"):
        difference(block, counterpart)


def test_spread():
    assert spread([90.0]).deviation is None
    assert spread([90.0, 92.0]).deviation == pytest.approx(2**0.5)
    assert (spread([90.0, 92.0]).mean, spread([90.0, 92.0]).each) == (91.0, (90.0, 92.0))
    with pytest.raises(ValueError, match="no accuracies"):
        spread([])


@pytest.mark.parametrize("n", [1, 8, 9, 10_000])
def test_which_pictures_were_right_survives_as_text(n):
    right = np.random.default_rng(n).random(n) < 0.9
    text = encode(right)
    assert (decode(text, n) == right).all()
    for broken in (text[:-5], "?", ""):
        with pytest.raises(ValueError, match="bits"):
            decode(broken, n)
