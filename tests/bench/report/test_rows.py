"""How a measured figure is written in a row."""

from dataclasses import replace
from decimal import Decimal

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.core.rounding import Printed
from claimbench.bench.report.figures import figures
from claimbench.bench.report.rows import conditions, measured_as, measured_notes, measured_row, with_unit
from claimbench.bench.store.evidence.reading import Shown
from tests.bench.record_examples import record

SHAPE = {"sample_shape": [3, 224, 224]}


def figure(metric="latency", value=0.0125, **changes):
    [found] = figures([record(metric, value, **{"options": SHAPE, **changes})])
    return found


def written(value, low=None, high=None, *, metric="latency", scale="1", printed=None, unit="ms", **changes):
    found = replace(figure(metric), value=value, low=low, high=high, **changes)
    return measured_as(found, unit, Decimal(scale), Printed.parse(printed) if printed else None)


@pytest.mark.parametrize(
    ("settings", "metric", "detail", "expected"),
    [
        (Settings(batch=8), "throughput", {}, "224x224 px, batch 8, fp32, eager"),
        (Settings(), "latency", {}, "224x224 px, fp32, eager"),
        (Settings(), "latency", {"batch": 32}, "224x224 px, batch 32, fp32, eager"),
        (
            Settings(batch=1, precision="bf16", mode="compile", channels_last=True, threads=2, quick=True),
            "memory_peak",
            {},
            "224x224 px, batch 1, bf16, compile, channels last, 2 threads, quick",
        ),
        (Settings(batch=1), "energy", {}, "224x224 px, batch 1, fp32, eager"),
        (Settings(batch=1, threads=2), "params", {}, "224x224 px"),
        (Settings(quick=True), "macs", {}, "224x224 px, quick"),
        (Settings(input_size=(64,)), "macs", {}, "64x64 px"),
        (Settings(weights="official"), "top1", {"images": 50_000}, "224x224 px, official weights, fp32, 50000 images"),
        (Settings(), "top1", {"trained_on": "MNIST"}, "224x224 px, trained on MNIST, fp32"),
        (Settings(), "top1", {"sample_shape": [3, 96, 64]}, "96x64 px, random weights, fp32"),
        (
            Settings(precision="bf16"),
            "parity",
            {"goldens": [{"file": "demo/a.json"}, {"file": "demo/b.json"}]},
            "demo/a, demo/b",
        ),
    ],
)
def test_conditions_are_what_matters_for_the_kind_of_figure(settings, metric, detail, expected):
    assert conditions(figure(metric, 1.0, settings=settings, detail=detail)) == expected


@pytest.mark.parametrize(
    ("value", "printed", "text"),
    [
        (12.5, None, "12.50 ms"),
        (12.0, None, "12 ms"),
        (12.3456, "12", "12.35 ms"),
        (12.0, "12", "12 ms"),
        (12.03125, "12.03125", "12.03125 ms"),
        (12.5, "12.5", "12.50 ms"),
        (12.3456, "12.345", "12.3456 ms"),
        (12.34567, "12.3", "12.35 ms"),
        (12.3456, "1e1", "12.35 ms"),
        (0.0, None, "0 ms"),
    ],
)
def test_a_digit_more_than_was_printed_is_written_unless_the_figure_is_the_printed_one(value, printed, text):
    assert written(value, printed=printed)["measured"] == text


def test_what_is_counted_one_by_one_has_no_decimals():
    counted = {"metric": "params", "unit": "", "printed": "33467040.0"}
    assert written(33_467_041, scale="1", **counted)["measured"] == "33467041"
    assert written(33_467_041, scale="10", **counted)["measured"] == "3346704.10"
    assert written(330, scale="10", metric="params", unit="M", printed="33.0")["measured"] == "33.00 M"
    assert written(1234.5625, scale="1", metric="macs", unit="", printed="1234.5")["measured"] == "1234.56"
    assert written(12, scale="1", metric="latency", unit="", printed="13.0")["measured"] == "12.00"


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (10.0, 9.0, 10.5, "10 ms \N{PLUS-MINUS SIGN}10 %"),
        (10.0, 9.9, 12.5, "10 ms \N{PLUS-MINUS SIGN}25 %"),
        (10.0, 5.0, 10.0, "10 ms \N{PLUS-MINUS SIGN}50 %"),
        (10.0, 4.9, 10.0, "10 ms [4.900, 10]"),
        (10.0, 10.0, 15.1, "10 ms [10, 15.10]"),
        (10.0, None, 15.1, "10 ms"),
        (10.0, 9.0, None, "10 ms"),
        (0.0, -1.0, 1.0, "0 ms"),
        (-10.0, -11.0, -9.5, "-10 ms \N{PLUS-MINUS SIGN}10 %"),
    ],
)
def test_an_interval_is_written_by_its_reach_or_if_wide_by_its_ends(value, low, high, text):
    assert written(value, low, high)["measured"] == text


def test_the_ends_of_a_wide_interval_have_the_digits_of_the_figure():
    assert written(10.0, 1.0, 12.0, printed="9.12")["measured"] == "10.000 ms [1.000, 12.000]"


def test_a_figure_and_its_interval_are_divided_by_the_scale():
    found = written(3 * 2**20, 2**20, 2**22, scale=str(2**20), unit="MiB")
    assert (found["measured"], found["value"], found["low"], found["high"]) == ("3 MiB [1, 4]", 3, 1, 4)


def test_numbers_are_given_in_the_unit_and_whole_ones_as_integers():
    found = written(12.0, 11.5, 12.5)
    assert (found["unit"], found["value"], found["low"], found["high"]) == ("ms", 12, 11.5, 12.5)
    assert isinstance(found["value"], int)
    assert isinstance(found["low"], float)
    assert isinstance(written(12.5)["value"], float)
    assert (written(12.5)["low"], written(12.5)["high"]) == (None, None)


def test_rounds_and_their_samples_are_written_behind():
    assert written(12.0, samples=61, rounds=3)["measured"] == "12 ms (3 x 20)"
    assert written(12.0, samples=0, rounds=3)["measured"] == "12 ms"


def test_a_figure_without_a_value_is_written_as_nothing():
    expected = {"unit": "ms", "measured": "", "value": None, "low": None, "high": None}
    assert written(None, samples=10) == expected


def test_a_unit_stands_behind_what_there_is():
    assert [with_unit("3", "G"), with_unit("3", ""), with_unit("", "G")] == ["3 G", "3", ""]


def test_a_row_of_a_figure_that_nobody_reports():
    row = measured_row("Demo-T", "merged", figure("params", 33_467_040, unit="params"), "Table 9")
    assert (row.subject, row.form, row.metric, row.title) == ("Demo-T", "merged", "params", "Parameters")
    assert (row.measured, row.value, row.unit) == ("33.47 M", 33.46704, "M")
    assert (row.reported, row.source, row.verdict, row.detail) == ("", "Table 9", "not reported", "")
    assert row.figure is not None
    gone = measured_row("Demo-T", "", figure("params", None, status="failed", reason="died"))
    assert (gone.verdict, gone.detail, gone.measured) == ("not measured", "failed: died", "")


@pytest.mark.parametrize(
    ("value", "passed", "verdict", "detail"),
    [
        (0, True, "exact", ""),
        (1e-14, True, "within rounding", ""),
        (0, False, "differs", "more than the golden records allow"),
    ],
)
def test_a_parity_is_judged_by_its_golden_records(value, passed, verdict, detail):
    row = measured_row("Demo-T", "", figure("parity", value, detail={"passed": passed}), "elsewhere")
    assert (row.verdict, row.detail, row.reported) == (verdict, detail, "0")
    assert row.source == "the official code, by the golden records"


def test_a_parity_that_was_not_measured_is_not_judged():
    row = measured_row("Demo-T", "", figure("parity", None, reason="there is no golden record"), "elsewhere")
    assert (row.verdict, row.detail, row.reported) == ("not measured", "there is no golden record", "")
    assert row.source == "elsewhere"


def test_throughput_is_in_the_samples_of_its_task():
    assert measured_row("m", "", figure("throughput", 10.0, unit="img/s")).unit == "img/s"
    sequences = figure("throughput", 10.0, unit="seq/s", options={"task": "sequential-recommendation"})
    assert measured_row("m", "", sequences).unit == "seq/s"
    assert measured_row("m", "", sequences).source == ""


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, ()),
        ({"detail": Shown(note="odd")}, ("odd",)),
        ({"lost": 1, "rounds": 2}, ("1 of 3 rounds failed",)),
        ({"spread": 0.05}, ()),
        ({"spread": 0.0512}, ("noisy: rounds lie 5.1 % apart",)),
        ({"detail": Shown(noisy_reasons=["a", "b"])}, ("noisy: a",)),
    ],
)
def test_what_makes_a_figure_less_sure_is_noted(changes, notes):
    assert measured_notes(replace(figure(), **changes)) == notes
