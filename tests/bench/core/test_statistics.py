"""Statistics on answers that are known."""

from math import comb

import numpy as np
import pytest

from claimbench.bench.core import statistics
from claimbench.bench.core.statistics import (
    combine,
    compare,
    mcnemar,
    median_interval,
    paired_test,
    percentiles,
    wilson,
)

pytestmark = pytest.mark.processors


def rounds(centre, spread=0.001, n=40, processes=3, between=0.0, seed=0):
    draw = np.random.default_rng(seed)
    return [
        list(centre * (1 + between * (i - (processes - 1) / 2)) * (1 + spread * draw.standard_normal(n)))
        for i in range(processes)
    ]


@pytest.mark.parametrize(
    ("n", "rank"),
    # B. Conover's and standard sign-test tables: ranks of the 95 % interval of a median
    [(5, None), (6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (50, 18), (100, 40)],
)
def test_the_interval_of_a_median_uses_the_tabled_ranks(n, rank):
    found = median_interval(list(range(1, n + 1)))
    assert found == (None if rank is None else (rank, n + 1 - rank))


def test_the_interval_covers_the_median_95_times_in_100():
    draw = np.random.default_rng(1)
    hits = sum(
        low <= np.log(2) <= high for low, high in (median_interval(draw.exponential(size=31)) for _ in range(2000))
    )
    assert 0.94 < hits / 2000 < 0.985


def test_the_rank_of_every_size_leaves_at_most_a_fortieth_of_the_binomial_distribution_below():
    sizes = [*range(6, 101), 250, 500, 1000]
    for n in sizes:
        rank = statistics._rank(n)
        assert 40 * sum(comb(n, k) for k in range(rank)) <= 2**n < 40 * sum(comb(n, k) for k in range(rank + 1))
    assert statistics._rank(10_000) == 4902  # (10,000 - 1.96 x 100) / 2


def test_large_samples_agree_with_the_exact_rule_just_below():
    exact, approximate = statistics._rank(1000), statistics._rank(1001)
    assert abs(exact - approximate) <= 1


def test_percentiles_need_samples_beyond_them():
    assert set(percentiles(range(10))) == {"p50"}
    assert set(percentiles(range(100))) == {"p50", "p90", "p95"}
    assert percentiles(range(501))["p99"] == 495


@pytest.mark.parametrize(("percentile", "least"), [(50, 10), (90, 50), (95, 100), (99, 500)])
def test_a_percentile_has_five_samples_beyond_it(percentile, least):
    assert percentiles(range(least - 1), (percentile,)) == {}
    assert set(percentiles(range(least), (percentile,))) == {f"p{percentile}"}


def test_rounds_combine_to_the_median_of_medians():
    found = combine([[1, 2, 3], [2, 3, 4], [8, 9, 10], []])
    assert found.median == 3
    assert found.medians == (2, 3, 9)
    assert found.between == pytest.approx(7 / 3)
    assert found.low <= 2
    assert found.high >= 9
    assert found.samples == 9


def test_the_interval_of_rounds_is_that_of_all_samples_where_it_is_the_wider():
    found = combine([[1, 2, 5, 8, 9], [1, 2, 5, 8, 9]])
    assert (found.low, found.high) == (1, 9)  # the second smallest and largest of ten
    assert found.between == 0


def test_the_spread_of_rounds_is_relative_and_takes_two_of_them():
    assert combine([[2.0], [3.0]]).between == pytest.approx(1 / 2.5)
    assert combine([[0.0], [0.0]]).between is None


def test_too_few_samples_give_no_interval():
    found = combine([[1.0, 2.0]])
    assert (found.median, found.low, found.high, found.between) == (1.5, None, None, None)
    with pytest.raises(ValueError, match="no samples"):
        combine([[], []])
    with pytest.raises(ValueError, match="no samples"):
        statistics.median([])


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (rounds(1.0), rounds(1.0, seed=1), "same"),
        (rounds(1.0), rounds(0.5), "faster"),
        (rounds(1.0), rounds(1.5), "slower"),
        (rounds(1.0, spread=0.2), rounds(1.0, spread=0.2, seed=2), "ambiguous"),
        (rounds(1.0, between=0.2), rounds(1.1, between=0.2), "ambiguous"),
        (rounds(1.0, processes=1), rounds(0.2, processes=1), "ambiguous"),
        ([[1.0], [1.0]], [[0.1], [0.1]], "ambiguous"),
        (rounds(1.0), rounds(1.005), "same"),
    ],
)
def test_verdicts(first, second, verdict):
    found = compare(first, second)
    assert found.verdict == verdict, found


def test_a_difference_within_the_spread_of_processes_is_ambiguous():
    steady = compare(rounds(1.0), rounds(1.04))
    shaky = compare(rounds(1.0, between=0.03), rounds(1.04))
    assert steady.verdict == "slower"
    assert shaky.verdict == "ambiguous"


def wide(low, middle, high):
    """Two rounds with the same median and an interval, the third smallest to the third largest of twelve samples."""
    return [[low, low, middle, middle, high, high]] * 2


ONE = [[1.0] * 6] * 2


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ([[0.98] * 6] * 2, "same"),
        ([[1.02] * 6] * 2, "same"),
        ([[0.979] * 6] * 2, "slower"),
        ([[1.021] * 6] * 2, "faster"),
        (wide(0.979, 1, 1), "ambiguous"),
        (wide(1, 1, 1.021), "ambiguous"),
        (wide(1.001, 1.009, 1.03), "ambiguous"),  # processes are taken to differ by 1 % though these do not
        (wide(1.001, 1.015, 1.03), "faster"),
        (wide(0.97, 0.985, 0.999), "slower"),
        (wide(0.99, 1.05, 1.1), "ambiguous"),
        (wide(0.9, 0.95, 1.01), "ambiguous"),
        (wide(1, 1.05, 1.1), "ambiguous"),
        (wide(0.9, 0.95, 1), "ambiguous"),
    ],
)
def test_verdicts_at_their_edges(first, verdict):
    assert compare(first, ONE).verdict == verdict


def test_one_side_with_too_little_evidence_is_enough_to_tell_nothing():
    for first, second in ((ONE, [[2.0] * 12]), ([[2.0] * 12], ONE)):
        found = compare(first, second)
        assert (found.verdict, found.ratio.value) == ("ambiguous", first[0][0] / second[0][0])
        assert found.reason == "one round says nothing of the spread between processes"
    for first, second in ((ONE, [[2.0]] * 2), ([[2.0]] * 2, ONE)):
        found = compare(first, second)
        assert found.ratio == statistics.Ratio(first[0][0] / second[0][0], None, None)
        assert (found.verdict, found.reason) == ("ambiguous", "too few samples for an interval")


def test_speed_up_is_first_over_second():
    found = compare(rounds(3.0), rounds(2.0))
    assert found.ratio.value == pytest.approx(1.5, rel=1e-2)
    assert found.ratio.low < 1.5 < found.ratio.high


def test_wilson_on_imagenet_is_a_third_of_a_point():
    low, high = wilson(42_000, 50_000)
    assert 100 * (high - low) / 2 == pytest.approx(0.32, abs=0.005)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    with pytest.raises(ValueError, match="0 <= successes"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="0 <= successes"):
        wilson(-1, 10)
    with pytest.raises(ValueError, match="n > 0"):
        wilson(0, 0)


def test_wilson_solves_the_score_equation_and_lies_between_0_and_1():
    """E. B. Wilson, JASA 22, 1927: the bounds are the p at which |found - p| is 1.96 standard deviations of p."""
    for n in (1, 2, 10, 16, 21):
        for successes in range(n + 1):
            low, high = wilson(successes, n)
            for p in (low, high):
                assert (successes / n - p) ** 2 == pytest.approx(statistics.Z95**2 * p * (1 - p) / n, abs=1e-12)
            assert 0 <= low < high <= 1


def test_a_resampling_draws_as_many_as_there_are_and_each_as_often():
    drawn = statistics.resampled(50)
    assert drawn.shape == (1000, 50)
    assert (drawn.sum(1) == 50).all()
    assert drawn.mean(0) == pytest.approx(1, abs=6 / 1000**0.5), "six standard errors"
    assert drawn.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    assert (drawn == statistics.resampled(50, 0)).all()
    assert (drawn != statistics.resampled(50, 1)).any()


def test_the_bootstraps_interval_leaves_out_a_fortieth_at_either_end():
    figures = np.arange(1001.0)[::-1]
    assert statistics.bootstrap_interval(figures) == (25.0, 975.0)
    assert statistics.bootstrap_interval(np.append(figures, [np.nan] * 3)) == (25.0, 975.0)
    assert statistics.bootstrap_interval(np.full(3, np.nan)) is None


def test_mcnemar_by_hand():
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 0) == 1.0
    for n in (1, 7, 40):
        for fewer in range(n // 2 + 1):
            tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
            assert mcnemar(fewer, n - fewer) == pytest.approx(min(1, 2 * tail))
    assert mcnemar(2000, 2200) == pytest.approx(0.0021, abs=2e-4)


def test_paired_test_counts_the_disagreements():
    first, second = [True, True, True, True, False, False], [True, True, False, False, True, False]
    found = paired_test(first, second)
    assert (found.only_first, found.only_second) == (2, 1)
    assert found.p_value == 1.0
    assert paired_test([], []) == statistics.PairedTest(0, 0, 1.0)
    with pytest.raises(ValueError, match="same pictures"):
        paired_test([True], [])


def test_relative_halfwidth():
    assert statistics.relative_halfwidth([1.0] * 20) == 0
    assert statistics.relative_halfwidth([1.0] * 5) is None
    assert statistics.relative_halfwidth([0.9] * 10 + [1.0] + [1.1] * 10) == pytest.approx(0.1)
    assert statistics.relative_halfwidth([1.8] * 10 + [2.0] + [2.2] * 10) == pytest.approx(0.1)
    assert statistics.relative_halfwidth([0.0] * 20) is None
