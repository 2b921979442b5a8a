"""What several seeds say of a difference."""

import numpy as np
import pytest
from scipy import stats

from claimbench.bench.core.bits import decode, encode
from claimbench.bench.core.differences import difference, spread


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


@pytest.mark.parametrize(
    ("block", "counterpart"), [([], []), ([np.ones(3, bool)], []), ([np.ones(3, bool)], [np.ones(4, bool)])]
)
def test_arms_that_do_not_match_are_refused(block, counterpart):
    with pytest.raises(ValueError, match="same seeds"):
        difference(block, counterpart)


def test_spread():
    assert spread([90.0]).deviation is None
    assert spread([90.0, 92.0]).deviation == pytest.approx(2**0.5)
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
