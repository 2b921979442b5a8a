"""The verdict on one figure at its edges, and what keeps two figures from being compared."""

from dataclasses import replace
from decimal import Decimal

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.core.rounding import Printed
from claimbench.bench.papers.spec import Reported
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import figures
from claimbench.bench.report.verdicts import (
    AGREES,
    Judgement,
    incomparable,
    judge,
    judge_bounds,
    judge_figure,
    precision_of,
    same_device,
)
from tests.bench.record_examples import record


def judged(printed, value, low=None, high=None, *, better="higher", **options):
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    return judge(Printed.parse(printed), Decimal(value), *bounds, better=better, **options)


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        ("84.2", None, None, "exact"),
        ("84.20", "84", "85", "exact"),
        ("84.15", None, None, "within rounding"),
        ("84.14", None, None, "differs"),
        ("84.1", None, None, "differs"),
        ("84.26", None, None, "better"),
        ("84.0", "83.8", "84.15", "within interval"),  # 84.2 may have been 84.15
        ("84.0", "83.8", "84.149", "differs"),
        ("84.5", "84.25", "84.7", "within interval"),
        ("84.5", "84.251", "84.7", "better"),
        ("84.0", None, "84.5", "differs"),
        ("84.0", "83.8", None, "differs"),
    ],
)
def test_a_figure_stands_where_its_rounding_and_the_interval_meet(value, low, high, verdict):
    found = judged("84.2", value, low, high)
    assert found.verdict == verdict
    assert found.relative == pytest.approx(float(value) / 84.2 - 1)
    assert bool(found.detail) == (verdict in ("better", "differs"))
    assert (verdict in AGREES) == (verdict != "differs")


@pytest.mark.parametrize(
    ("better", "value", "verdict"),
    [
        ("higher", "12", "better"),
        ("higher", "8", "differs"),
        ("lower", "12", "differs"),
        ("lower", "8", "better"),
        ("", "12", "differs"),
        ("", "8", "differs"),
    ],
)
def test_which_way_is_better(better, value, verdict):
    assert judged("10", value, better=better) == Judgement(
        verdict, "+20.0 %" if value == "12" else "-20.0 %", pytest.approx(float(value) / 10 - 1)
    )


@pytest.mark.parametrize(
    ("value", "approximate", "verdict"),
    [
        ("84.3", True, "within rounding"),
        ("84.1", True, "within rounding"),
        ("84.301", True, "better"),
        ("84.099", True, "differs"),
        ("84.3", False, "better"),
        ("84.1", False, "differs"),
    ],
)
def test_a_figure_read_off_a_chart_may_be_off_by_a_unit_of_its_last_digit(value, approximate, verdict):
    assert judged("84.2", value, approximate=approximate).verdict == verdict


def test_a_difference_from_nothing_is_given_as_it_is():
    found = judged("0", "12.34567", better="lower")
    assert (found.verdict, found.detail, found.relative) == ("differs", "+12.35", None)
    bounds = (Decimal(1), Decimal(2))
    assert judge_bounds(Decimal(0), bounds, True, Decimal(1), None, None, better="") == Judgement("within rounding")


def figure(metric="throughput", value=10.0, device="", detail=None, samples=(), **settings):
    """A figure measured with batch 64 in float16 on an A100, at 224 px."""
    given = Settings(**{"device": "a100", "batch": 64, "precision": "fp16", "input_size": (3, 224, 224), **settings})
    unit = metrics.row(metric).unit
    [found] = figures([record(metric, value, unit=unit, settings=given, detail=detail or {}, samples=samples)])
    return found


SPEED = Reported(metric="throughput_img_s", value="10", source="Table 1", device="A100", batch=64, precision="half")


def why(reported, found):
    return incomparable(reported, metrics.quantity(reported.metric), found)


@pytest.mark.parametrize(
    ("reported", "measured", "reason"),
    [
        ({}, {}, ""),
        ({"input_size": 224}, {}, ""),
        ({"input_size": 384}, {}, "reported at 384 px, measured at 224 px"),
        ({"input_size": 384}, {"input_size": ()}, ""),
        ({"input_size": 224}, {"input_size": (3, 192, 224)}, ""),
        ({"input_size": 192}, {"input_size": (3, 192, 224)}, "reported at 192 px, measured at 224 px"),
        ({"device": ""}, {}, "the source does not say on which device"),
        ({"device": "V100"}, {}, "reported on V100; absolute figures are not compared across devices"),
        ({"batch": 128}, {}, "reported with batch 128, measured with 64"),
        ({"batch": 128}, {"batch": None}, ""),
        ({"batch": 128}, {"batch": None, "detail": {"batch": 32}}, "reported with batch 128, measured with 32"),
        ({"batch": None}, {"batch": 1}, ""),
        ({"precision": "float32, torch.compile"}, {}, "reported in float32, torch.compile, measured in fp16"),
        ({"precision": ""}, {"precision": "bf16"}, ""),
    ],
)
def test_times_are_compared_only_where_the_same_was_measured(reported, measured, reason):
    assert why(SPEED.model_copy(update=reported), figure(**measured)) == reason


@pytest.mark.parametrize("metric", ["throughput_img_s", "latency_ms", "memory_mib", "energy_j_img"])
def test_times_memory_and_energy_belong_to_a_device(metric):
    reported = SPEED.model_copy(update={"metric": metric, "device": "V100"})
    assert why(reported, figure()).startswith("reported on V100")


@pytest.mark.parametrize("metric", ["params_m", "flops_g", "imagenet1k_top1"])
def test_counts_and_scores_belong_to_no_device(metric):
    assert why(SPEED.model_copy(update={"metric": metric, "device": "V100"}), figure()) == ""


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ({"classes": 1000}, ""),
        ({}, ""),
        ({"classes": 10}, "reported on 1000 classes, measured on 10"),
        ({"classes": 1000, "partial": True}, "measured on a part of the data set"),
    ],
)
def test_scores_are_compared_on_the_whole_of_the_same_classes(detail, reason):
    reported = Reported(metric="imagenet1k_top1", value="84.2", source="Table 1")
    assert why(reported, figure("top1", 84.2, detail=detail)) == reason
    odd = Reported(metric="sparkle_factor", value="7", source="Table 1")
    assert why(odd, figure("top1", 84.2, detail={"classes": 10})) == "", "a metric that says nothing of classes"


def verdict_on(metric, printed, row, value, **figured):
    reported = Reported(metric=metric, value=printed, source="Table 1", device="A100")
    quantity = metrics.quantity(metric)
    return judge_figure(reported, quantity, quantity.answers[0], figure(row, value, **figured))


def test_a_figure_is_judged_in_the_printed_unit_with_its_interval():
    found = verdict_on("latency_ms", "12", "latency", 0.0126, samples=(0.0124, 0.0126, 0.0128) * 10)
    assert found.verdict == "within interval"
    assert found.relative == pytest.approx(0.05)
    assert verdict_on("latency_ms", "12", "latency", 0.0126).verdict == "differs"
    assert verdict_on("latency_ms", "12", "latency", 0.0114).verdict == "better"


@pytest.mark.parametrize("printed", [None, "1e200"])
def test_a_report_that_is_no_number_to_reckon_with_is_not_comparable(printed):
    found = verdict_on("params_m", printed, "params", 33_000_000)
    assert found == Judgement("not comparable", "the reported figure is not a finite number")


def test_neither_more_nor_less_of_what_is_counted_is_better():
    assert [verdict_on("params_m", "33", "params", millions * 10**6).verdict for millions in (30, 36)] == [
        "differs"
    ] * 2


def test_a_figure_without_a_value_says_why():
    for status, detail in (("failed", "failed: died"), ("unavailable", "died")):
        gone = replace(figure(), value=None, status=status, reason="died")
        quantity = metrics.quantity("throughput_img_s")
        assert judge_figure(SPEED, quantity, quantity.answers[0], gone) == Judgement("not measured", detail)


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("float32", "fp32"),
        ("Float16 , torch.compile", "fp16"),
        ("half", "fp16"),
        ("BFLOAT16", "bf16"),
        ("fp32", "fp32"),
        (" amp", "amp"),
        ("", ""),
    ],
)
def test_a_printed_precision_in_the_words_of_settings(printed, name):
    assert precision_of(printed) == name


@pytest.mark.parametrize(
    "filler", ["NVIDIA", "Tesla", "GeForce", "a single", "one", "the", "1 x", "1x", "1", "a", "GPU card", "CPU"]
)
def test_words_that_tell_no_device_from_another_are_passed_over(filler):
    assert same_device(f"{filler} A100", "a100")
    assert same_device(f"{filler} A100", "NVIDIA A100")
    assert not same_device(filler, "a100")
    assert not same_device(filler, filler.lower())


@pytest.mark.parametrize("word", ["ti", "super", "laptop", "max", "mobile", "d"])
def test_a_word_for_another_model_of_the_series_tells_a_device_apart(word):
    assert not same_device("RTX 4090", f"nvidia-geforce-rtx-4090-{word}")
    assert same_device(f"RTX 4090 {word.title()}", f"nvidia-geforce-rtx-4090-{word}")
