"""Speeds side by side, and reported speed-ups as ratios."""

import random
from dataclasses import replace

import pytest

from claimbench.bench.core.rounding import Printed
from claimbench.bench.core.statistics import Ratio
from claimbench.bench.report.compare import compare
from claimbench.bench.report.figures import figures
from claimbench.bench.report.speed import judge_ratio, pairs
from tests.bench.report.test_compare import A100, only, paper, timed

V100 = {"metric": "throughput_img_s", "device": "V100", "source": "Table 4"}


def around(seconds, rounds=3, width=0.002, seed=0):
    noise = random.Random(seed)
    return [[seconds * noise.uniform(1 - width, 1 + width) for _ in range(40)] for _ in range(rounds)]


@pytest.mark.parametrize(
    ("mine", "theirs", "verdict"),
    [(0.10, 0.15, "faster"), (0.15, 0.10, "slower"), (0.1, 0.1, "same")],
)
def test_pairs_are_same_faster_or_slower(mine, theirs, verdict):
    records = [*timed(0, around(mine)), *timed(0, around(theirs, seed=1), subject="timm:other", form="")]
    [pair] = pairs(figures(records))
    assert (pair.first, pair.second, pair.verdict) == ("demo_t", "timm:other", verdict)
    assert pair.ratio == pytest.approx(theirs / mine, rel=0.01)
    assert pair.low <= pair.ratio <= pair.high


def test_one_round_tells_nothing_and_other_conditions_are_no_pair():
    one = [*timed(0, around(0.1, rounds=1)), *timed(0, around(0.2, rounds=1), subject="timm:other", form="")]
    assert [pair.verdict for pair in pairs(figures(one))] == ["ambiguous"]
    other = [*timed(0, around(0.1)), *timed(0, around(0.2), subject="timm:other", settings=replace(A100, batch=1))]
    assert pairs(figures(other)) == []
    runs = [*timed(0, around(0.1), run="a"), *timed(0, around(0.2), subject="timm:other", run="b")]
    assert pairs(figures(runs)) == []


def test_forms_of_one_subject_are_told_apart_in_pairs():
    [pair] = pairs(figures([*timed(0, around(0.1)), *timed(0, around(0.2), form="plain")]))
    assert (pair.first, pair.second) == ("demo_t (merged)", "demo_t (plain)")


def speed_up(mine, theirs, seconds, **changes):
    reported = paper(
        {**V100, "value": mine, **changes},
        baselines=[{"model": "Other-B", "timm": "other", "reported": [{**V100, "value": theirs}]}],
    )
    records = [*timed(0, around(seconds[0])), *timed(0, around(seconds[1], seed=1), subject="timm:other", form="")]
    return compare(reported, records)


@pytest.mark.parametrize(
    ("mine", "theirs", "seconds", "verdict"),
    [
        ("1500", "1000", (0.1, 0.15), "within rounding"),
        ("1500", "1000", (0.1, 0.2), "better"),
        ("1500", "1000", (0.1, 0.11), "differs"),
        ("1500", "0", (0.1, 0.11), "not comparable"),
    ],
)
def test_a_speed_up_reported_on_another_device_is_tested_as_a_ratio(mine, theirs, seconds, verdict):
    rows = speed_up(mine, theirs, seconds)
    row = only(rows, metric="throughput_ratio")
    assert row.verdict == verdict
    assert row.subject == "demo_t / Other-B"
    assert "reported on V100" in row.notes
    absolute = only(rows, metric="throughput_img_s", subject="demo_t")
    assert absolute.verdict == "not comparable"


def test_the_ratio_is_of_speeds_and_not_of_times():
    row = only(speed_up("3000", "1000", (0.1, 0.3)), metric="throughput_ratio")
    assert row.value == pytest.approx(3, rel=0.01)
    assert row.reported == "3.00× (3000 / 1000)"


def test_figures_reported_on_different_devices_give_no_ratio():
    rows = speed_up("1500", "1000", (0.1, 0.15), device="A100")
    assert [row for row in rows if row.metric == "throughput_ratio"] == []


def test_subjects_of_different_runs_give_no_ratio():
    reported = paper(
        {**V100, "value": "15"}, baselines=[{"model": "B", "timm": "other", "reported": [{**V100, "value": "10"}]}]
    )
    records = [*timed(0, around(0.1), run="a"), *timed(0, around(0.15), subject="timm:other", form="", run="b")]
    assert [row for row in compare(reported, records) if row.metric == "throughput_ratio"] == []


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Ratio(1.5, None, None), "within rounding"),
        (Ratio(1.39, None, None), "within rounding"),
        (Ratio(1.37, None, None), "differs"),
        (Ratio(1.37, 1.36, 1.38), "differs"),
        (Ratio(1.37, 1.35, 1.39), "within interval"),
        (Ratio(1.66, 1.6, 1.7), "within interval"),
        (Ratio(1.66, None, None), "better"),
    ],
)
def test_both_printed_figures_may_be_rounded(found, verdict):
    """15 / 10 stands for anything from 14.5 / 10.5 to 15.5 / 9.5."""
    assert judge_ratio(Printed.parse("15"), Printed.parse("10"), found).verdict == verdict
