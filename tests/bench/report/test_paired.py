"""Two models on the same pictures are compared picture by picture."""

from dataclasses import replace

import numpy as np
import pytest

from claimbench.bench.core.bits import packed
from claimbench.bench.core.records import Job, Measurement, Record, Settings
from claimbench.bench.report.figures import figures
from claimbench.bench.report.paired import paired_rows


def record(subject, right, pictures="p", run="r", form="", metric="top1", **settings):
    detail = {"right": packed(np.array(right)), "images": len(right), "pictures_sha256": pictures, "classes": 10}
    row = Measurement(metric, 100 * sum(right) / len(right), "%", "all images", low=0.0, high=100.0, detail=detail)
    job = Job("p", subject, form, "accuracy", Settings(weights="official", **settings))
    return Record(run, job, row, "", "", "2026-01-01T00:00:00")


def rows(*records):
    return list(paired_rows(figures(records)))


def test_a_clear_difference_is_said_with_its_test():
    [row] = rows(record("a", [True] * 10 + [False] * 2), record("b", [False] * 10 + [False, True]))
    assert (row.subject, row.form, row.title) == ("a / b", "", "Top-1 accuracy, paired difference")
    assert row.value == pytest.approx(75.0)
    assert (row.metric, row.unit, row.verdict) == ("top1_paired", "points", "not reported")
    assert (row.low, row.high) == (None, None), "the interval of the first model's score is none of the difference"
    assert row.detail == "a is better"
    assert row.measured == "+75.00 points (p = 0.012)"
    assert row.notes == (
        "McNemar's exact test: of 12 pictures 10 were right with the first alone and 1 with the second alone",
    )


@pytest.mark.parametrize(("alone", "detail"), [(5, "no difference seen"), (6, "a is better")])
def test_a_difference_counts_if_chance_gives_it_less_than_once_in_twenty(alone, detail):
    """Five of five the same way have a chance of 2 / 32 between equals, six of six one of 2 / 64."""
    [row] = rows(record("a", [True] * alone + [True]), record("b", [False] * alone + [True]))
    assert row.detail == detail


def test_a_small_one_is_no_difference_and_the_better_may_be_the_second():
    [row] = rows(record("a", [True, False, True]), record("b", [True, True, True]))
    assert (row.detail, row.low) == ("no difference seen", None)
    [row] = rows(record("a", [False] * 9), record("b", [True] * 9))
    assert row.detail == "b is better"


def test_only_the_same_pictures_of_one_run_are_paired():
    one = record("a", [True, False])
    assert rows(one, record("b", [True, True], pictures="q")) == []
    assert rows(one, record("b", [True, True], run="s")) == []
    assert rows(one, record("b", [True, True], metric="top5")) == []
    assert rows(one) == []


def test_a_model_without_answers_to_each_picture_is_paired_with_none():
    one, silent = record("a", [True, False]), record("b", [True, True])
    died = replace(silent, measurement=replace(silent.measurement, value=None, status="failed", reason="died"))
    assert rows(one, died) == []
    del silent.measurement.detail["right"]
    assert rows(one, silent) == []


def test_of_three_models_each_pair_is_a_row():
    found = rows(*(record(name, [True, False]) for name in "abc"))
    assert [row.subject for row in found] == ["a / b", "a / c", "b / c"]


def test_forms_of_one_model_are_told_apart():
    [row] = rows(record("a", [True], form="plain"), record("a", [True], form="merged"))
    assert row.subject == "a (plain) / a (merged)"


def test_precisions_and_modes_of_one_model_are_told_apart_from_one_another_only():
    one, half = record("a", [True]), record("a", [True], precision="bf16", mode="compile")
    assert [row.subject for row in rows(one, half)] == ["a (fp32, eager) / a (bf16, compile)"]
    assert [row.subject for row in rows(one, record("b", [True], form="x", precision="bf16"))] == ["a / b"]
