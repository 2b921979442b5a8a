"""Which stored trainings make a summary: the best run of a study, and the seeds of runs that trained the same."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from claimbench.bench.core import bits
from claimbench.bench.core.records import Job, Measurement, Options, Settings
from claimbench.bench.report.study import page, to_json
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.training.study.setting import setting
from claimbench.bench.training.study.summary import summaries

PICTURES = 200
SETTING = setting("quick", "digits", None)


def training(run, arm, seed, right=150, parameters=1000, how=SETTING, status="measured"):
    """The stored rows of one training with so many right pictures."""
    job = Job("fake", "fake", arm, "study", Settings(), options=Options(setting=how.to_json(), hidden=(8,)), round=seed)
    rights = np.arange(PICTURES) < right + seed
    detail = {"right": bits.encode(rights), "pictures": PICTURES}
    rows = (
        Measurement("study_accuracy", 100 * rights.mean(), "%", "", status=status, detail=detail),
        Measurement("study_parameters", parameters, "", ""),
        Measurement("study_flops", 5, "", ""),
    )
    return [
        StoredRecord(
            run=run, job=job, measurement=row, environment="e", commit=f"of {run}", time="2026-01-01", device="cpu"
        )
        for row in rows
    ]


def study(run, seeds, **changes):
    found = [training(run, "block", seed, right=160, **changes) for seed in seeds]
    return [
        row for rows in (*found, *(training(run, "counterpart", seed, **changes) for seed in seeds)) for row in rows
    ]


def summed(*records, run=None):
    every = [record for each in records for record in each]
    store = SimpleNamespace(query=lambda run, device: [r for r in every if run in (None, r.run)])
    [found] = summaries(store, run=run)
    return found


def seeds(found):
    return [arm.seeds for arm in found.arms]


def test_a_study_repeated_with_other_seeds_is_a_study_of_more():
    found = summed(study("1", range(3)), study("2", (7, 8)))
    assert seeds(found) == [(0, 1, 2, 7, 8)] * 2
    assert len(found.difference.each) == 5
    assert (found.run, found.others) == ("1", (("2", "of 2"),))
    facts = SimpleNamespace(block="a", counterpart="b", source="c", note="")
    assert "fake: with the seeds of run 2 (commit of 2)" in page([found], lambda paper: facts, "cpu")
    assert to_json(found)["others"] == (("2", "of 2"),)


def test_of_runs_with_the_same_seeds_the_newest_counts_alone():
    found = summed(study("1", range(3)), study("2", range(3), parameters=2000))
    assert (found.run, found.others, found.arms[0].parameters) == ("2", (), 2000)
    again = summed(study("1", range(3)), study("2", range(3)))
    assert (again.run, again.others, seeds(again)) == ("2", (), [(0, 1, 2)] * 2)


def test_a_run_that_was_cut_off_replaces_nothing_and_a_seed_of_one_arm_adds_nothing():
    cut = [*study("2", (5,)), *training("2", "block", 6), *training("2", "counterpart", 6, status="failed")]
    found = summed(study("1", range(3)), cut)
    assert (found.run, seeds(found)) == ("1", [(0, 1, 2, 5)] * 2)
    assert (found.unpaired, found.failed) == ((), ())


@pytest.mark.parametrize(
    "change", [{"parameters": 1001}, {"how": replace(SETTING, learning_rate=1.0)}], ids=["network", "recipe"]
)
def test_what_was_trained_otherwise_adds_no_seeds(change):
    found = summed(study("1", range(3)), study("2", (7, 8), **change))
    assert (found.run, found.others, seeds(found)) == ("1", (), [(0, 1, 2)] * 2)


def test_how_many_seeds_were_asked_for_does_not_part_runs():
    found = summed(study("1", range(3)), study("2", (7, 8), how=replace(SETTING, seeds=2)))
    assert seeds(found) == [(0, 1, 2, 7, 8)] * 2


def test_one_run_can_be_asked_for():
    assert seeds(summed(study("1", range(3)), study("2", (7, 8)), run="2")) == [(7, 8)] * 2
