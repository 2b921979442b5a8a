"""Two models on the same pictures are compared picture by picture."""

import numpy as np
import pytest

from claimbench.bench.core.bits import packed
from claimbench.bench.core.records import Job, Measurement, Record, Settings
from claimbench.bench.report.figures import figures
from claimbench.bench.report.paired import paired_rows


def record(subject, right, pictures="p", run="r", form=""):
    detail = {"right": packed(np.array(right)), "images": len(right), "pictures_sha256": pictures, "classes": 10}
    row = Measurement("top1", 100 * sum(right) / len(right), "%", "all images", low=0.0, high=100.0, detail=detail)
    job = Job("p", subject, form, "accuracy", Settings(weights="official"))
    return Record(run, job, row, "", "", "2026-01-01T00:00:00")


def rows(*records):
    return list(paired_rows(figures(records)))


def test_a_clear_difference_is_said_with_its_test():
    [row] = rows(record("a", [True] * 10 + [False] * 2), record("b", [False] * 10 + [False, True]))
    assert (row.subject, row.title) == ("a / b", "Top-1 accuracy, paired difference")
    assert row.value == pytest.approx(75.0)
    assert row.detail == "a is better"
    assert "p = 0.012" in row.measured
    assert "10 were right with the first alone and 1 with the second alone" in row.notes[0]


def test_a_small_one_is_no_difference_and_the_better_may_be_the_second():
    [row] = rows(record("a", [True, False, True]), record("b", [True, True, True]))
    assert (row.detail, row.low) == ("no difference seen", None)
    [row] = rows(record("a", [False] * 9), record("b", [True] * 9))
    assert row.detail == "b is better"


def test_only_the_same_pictures_of_one_run_are_paired():
    one = record("a", [True, False])
    assert rows(one, record("b", [True, True], pictures="q")) == []
    assert rows(one, record("b", [True, True], run="s")) == []
    assert rows(one) == []


def test_forms_of_one_model_are_told_apart():
    [row] = rows(record("a", [True], form="plain"), record("a", [True], form="merged"))
    assert row.subject == "a (plain) / a (merged)"
