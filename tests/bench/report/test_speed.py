"""Speeds side by side, and reported speed-ups as ratios."""

import random
from dataclasses import replace

import pytest

from claimbench.bench.core.rounding import Printed, show_relative
from claimbench.bench.core.statistics import Ratio, median
from claimbench.bench.report.compare import compare
from claimbench.bench.report.figures import figures
from claimbench.bench.report.speed import judge_ratio, pairs
from claimbench.bench.store.encoding import StoredRecord
from tests.bench.record_examples import record
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
    assert (pair.title, pair.conditions) == ("Throughput", "224x224 px, batch 64, fp16, eager")
    assert pair.reason.startswith("the ratio's interval" if verdict == "same" else "the intervals are apart")
    assert pair.ratio == pytest.approx(theirs / mine, rel=0.01)
    assert pair.low <= pair.ratio <= pair.high


def test_one_round_tells_nothing_and_other_conditions_are_no_pair():
    one = [*timed(0, around(0.1, rounds=1)), *timed(0, around(0.2, rounds=1), subject="timm:other", form="")]
    assert [pair.verdict for pair in pairs(figures(one))] == ["ambiguous"]
    other = [*timed(0, around(0.1)), *timed(0, around(0.2), subject="timm:other", settings=replace(A100, batch=1))]
    assert pairs(figures(other)) == []
    runs = [*timed(0, around(0.1), run="a"), *timed(0, around(0.2), subject="timm:other", run="b")]
    assert pairs(figures(runs)) == []
    devices = [*stored(timed(0, around(0.1)), "a"), *stored(timed(0, around(0.2), subject="timm:other"), "b")]
    assert pairs(figures(devices)) == []
    assert len(pairs(figures(stored(devices, "a")))) == 1
    assert pairs(figures([record(), record(subject="timm:other")])) == [], "parameters have no times"


def test_a_throughput_and_a_latency_are_no_pair_and_of_three_subjects_each_two_are():
    def latency(seconds, subject):
        return [
            record(
                "latency", median(taken), subject=subject, unit="s", settings=A100, round=number, samples=tuple(taken)
            )
            for number, taken in enumerate(around(seconds))
        ]

    found = pairs(figures([*timed(0, around(0.1)), *latency(0.2, "timm:other")]))
    assert found == []
    found = pairs(figures([made for number in (1, 2, 3) for made in latency(0.1 * number, f"m{number}")]))
    assert [(pair.first, pair.second) for pair in found] == [("m1", "m2"), ("m1", "m3"), ("m2", "m3")]
    assert [pair.ratio for pair in found] == pytest.approx([2, 3, 1.5], rel=0.01)


def test_forms_of_one_subject_are_told_apart_in_pairs():
    [pair] = pairs(figures([*timed(0, around(0.1)), *timed(0, around(0.2), form="plain")]))
    assert (pair.first, pair.second) == ("demo_t (merged)", "demo_t (plain)")


def stored(records, device):
    return [StoredRecord(**{**vars(made), "device": device}) for made in records]


def speed_up(mine, theirs, seconds, *, other=None, settings=(A100, A100), measured="merged", **changes):
    reported = paper(
        {**V100, "value": mine, **changes},
        baselines=[
            {"model": "Other-B", "timm": "other", "reported": [{**V100, "value": theirs, **(other or {})}]},
            {"model": "Third-B", "timm": "third", "reported": []},
        ],
    )
    records = [
        *timed(0, around(seconds[0]), form=measured, settings=settings[0]),
        *timed(0, around(seconds[1], seed=1), subject="timm:other", form="", settings=settings[1]),
        *timed(0, around(seconds[1], seed=2), subject="timm:third", form="", settings=settings[1]),
    ]
    return compare(reported, records)


def ratios(rows):
    return [row for row in rows if row.metric.endswith("_ratio")]


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
    assert row.low < row.value < row.high
    assert row.reported == "3.00× (3000 / 1000)"
    assert row.measured == f"{row.value:.2f}× [{row.low:.2f}, {row.high:.2f}]"
    assert (row.title, row.unit, row.source) == ("Throughput ratio", "×", "Table 4")
    assert row.conditions == "224x224 px, batch 64, fp16, eager"
    assert row.relative == pytest.approx(row.value / 3 - 1)
    assert row.form == ""
    off = only(speed_up("1500", "1000", (0.1, 0.11)), metric="throughput_ratio")
    assert off.detail == show_relative(off.relative)


def test_a_ratio_without_an_interval_has_none_and_figures_of_two_sources_name_both():
    reported = paper(
        {**V100, "value": "15"},
        baselines=[
            {"model": "B", "timm": "other", "reported": [{**V100, "value": "10", "source": "README"}]},
        ],
    )
    few = [[0.1] * 2] * 2, [[0.15] * 2] * 2
    row = only(compare(reported, [*timed(0, few[0]), *timed(0, few[1], subject="timm:other", form="")]), unit="×")
    assert (row.measured, row.low, row.high) == ("1.50×", None, None)
    assert row.source == "Table 4; README"


def test_a_speed_up_in_training_is_a_ratio_of_its_own():
    training = replace(A100, training=True)
    metric = {"metric": "train_throughput_img_s"}
    row = only(speed_up("15", "10", (0.1, 0.15), other=metric, settings=(training, training), **metric), unit="×")
    assert (row.metric, row.title) == ("throughput_training_ratio", "Throughput ratio, training")
    assert row.verdict == "within rounding"
    assert ratios(speed_up("15", "10", (0.1, 0.15), settings=(training, training))) == []
    assert ratios(speed_up("15", "10", (0.1, 0.15), other=metric, **metric)) == []


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"batch": 64}, {"batch": 128}),
        ({"precision": "fp16"}, {"precision": "fp32"}),
        ({"input_size": 224}, {}),
        ({"device": ""}, {"device": ""}),
        ({"metric": "latency_ms"}, {"metric": "latency_ms"}),
        ({"value": None}, {}),
        ({}, {"value": None}),
        ({"form": "plain"}, {}),
        ({}, {"metric": "train_throughput_img_s"}),
    ],
)
def test_only_speeds_reported_under_the_same_conditions_make_a_ratio(changes, other):
    assert ratios(speed_up("15", "10", (0.1, 0.15), other=other, **changes)) == []


def test_a_ratio_is_of_the_reported_form_and_of_figures_measured_in_one_way():
    assert len(ratios(speed_up("15", "10", (0.1, 0.15)))) == 1
    assert ratios(speed_up("15", "10", (0.1, 0.15), measured="plain")) == []
    assert len(ratios(speed_up("15", "10", (0.1, 0.15), measured="plain", form="plain"))) == 1
    assert ratios(speed_up("15", "10", (0.1, 0.15), settings=(A100, replace(A100, batch=1)))) == []
    both = {"batch": 64, "precision": "fp16", "input_size": 224}
    assert len(ratios(speed_up("15", "10", (0.1, 0.15), other=both, **both))) == 1


@pytest.mark.parametrize(
    ("mine", "theirs"), [("0", "10"), ("-15", "10"), ("15", "-10"), ("1e200", "10"), ("15", "1e200")]
)
def test_a_ratio_of_anything_but_positive_numbers_is_not_comparable(mine, theirs):
    row = only(speed_up(mine, theirs, (0.1, 0.15)), metric="throughput_ratio")
    assert (row.verdict, row.detail) == ("not comparable", "a reported figure is not a positive number")


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
        (Ratio(1.632, None, None), "better"),
        (Ratio(1.631, None, None), "within rounding"),
        (Ratio(1.381, None, None), "within rounding"),
        (Ratio(1.380, None, None), "differs"),
    ],
)
def test_both_printed_figures_may_be_rounded(found, verdict):
    """15 / 10 stands for anything from 14.5 / 10.5 to 15.5 / 9.5."""
    assert judge_ratio(Printed.parse("15"), Printed.parse("10"), found).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.999, "differs"), (1.0, "within rounding"), (5.0, "within rounding")])
def test_the_ends_of_what_a_ratio_may_be_belong_to_it(value, verdict):
    """2 / 1 stands for anything from 1.5 / 1.5 to 2.5 / 0.5."""
    assert judge_ratio(Printed.parse("2"), Printed.parse("1"), Ratio(value, None, None)).verdict == verdict
