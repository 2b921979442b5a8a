"""What the records of one configuration say together."""

import math
from dataclasses import replace

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.report.figures import EFFORT, figures, row_name
from claimbench.bench.store.encoding import StoredRecord
from tests.bench.record_examples import record

OLD, NEW = "20250101T000000Z-000000", "20260101T000000Z-000000"


def latency(seconds, **changes):
    """A round of a latency with its samples."""
    given = {"settings": Settings(batch=2), "samples": tuple(seconds), **changes}
    return record("latency", sorted(seconds)[len(seconds) // 2], unit="s", **given)


def throughput(seconds, images=8, **changes):
    """A round of a throughput: each sample is the time of a batch of so many images."""
    given = {"settings": Settings(batch=images), "samples": tuple(seconds), **changes}
    return record("throughput", images / sorted(seconds)[len(seconds) // 2], unit="img/s", **given)


def test_rounds_of_a_latency_give_its_median_and_an_interval_that_covers_them_all():
    rounds = [latency([0.3, 0.1, 0.2], round=0), latency([0.5, 0.4, 0.6], round=2)]
    [figure] = figures(rounds)
    assert figure.value == pytest.approx(0.35)
    assert (figure.low, figure.high) == (0.1, 0.6)
    assert figure.times == ((0.3, 0.1, 0.2), (0.5, 0.4, 0.6))
    assert (figure.rounds, figure.samples, figure.lost) == (2, 6, 0)
    assert figure.spread == pytest.approx(0.3 / 0.35)


def test_times_of_a_throughput_are_of_one_image_and_its_interval_is_of_speeds():
    [figure] = figures([throughput([0.8, 1.6, 2.4, 0.8, 1.6, 2.4])])
    assert figure.times == (pytest.approx((0.1, 0.2, 0.3, 0.1, 0.2, 0.3)),)
    assert figure.value == pytest.approx(5)
    assert (figure.low, figure.high) == pytest.approx((1 / 0.3, 1 / 0.1))
    few = figures([throughput([0.8, 1.6, 2.4])])[0]
    assert (few.value, few.low, few.high, few.spread) == (pytest.approx(5), None, None, None)


def test_a_round_without_samples_that_are_numbers_is_told_by_its_value():
    hole = replace(latency([0.2]), measurement=replace(latency([0.2]).measurement, samples=(math.nan, math.inf)))
    assert figures([hole])[0].times == ((0.2,),)
    part = replace(hole, measurement=replace(hole.measurement, samples=(math.nan, 0.4)))
    assert figures([part])[0].times == ((0.4,),)
    bare = throughput([1.6])
    bare = replace(bare, measurement=replace(bare.measurement, samples=()))
    [figure] = figures([bare])
    assert figure.times == ((pytest.approx(0.2),),)
    assert figure.samples == 0


def test_samples_may_be_kept_elsewhere():
    bare = latency([0.2])
    bare = replace(bare, measurement=replace(bare.measurement, samples=()))
    [figure] = figures([bare], lambda found: (0.4, 0.5, 0.6))
    assert (figure.value, figure.samples) == (0.5, 3)


def test_the_last_round_that_was_measured_speaks_and_those_that_failed_are_counted():
    died = {"status": "failed", "reason": "died", "unit": "s", "settings": Settings(batch=2)}
    rounds = [
        latency([0.1], round=0, detail={"note": "first"}, time="t0"),
        latency([0.2], round=1, detail={"note": "second"}, time="t1"),
        record("latency", None, round=2, time="t2", **died),
    ]
    [figure] = figures(rounds)
    assert (figure.detail.note, figure.time, figure.status) == ("second", "t1", "measured")
    assert (figure.rounds, figure.lost) == (2, 1)
    [figure] = figures([record("latency", None, round=number, **died) for number in (0, 1)])
    assert (figure.value, figure.status, figure.reason) == (None, "failed", "died")
    assert (figure.rounds, figure.lost, figure.samples, figure.times) == (0, 0, 0, ())


def test_a_figure_says_where_it_came_from():
    given = record("macs", 7, unit="MAC", run=NEW, time="now", environment="env", low=6, high=8, options={"a": 1})
    [figure] = figures([given])
    assert (figure.subject, figure.form, figure.row) == ("demo_t", "merged", "macs")
    assert (figure.value, figure.low, figure.high, figure.unit, figure.method) == (7, 6, 8, "MAC", "counted")
    assert (figure.run, figure.time, figure.commit, figure.environment) == (NEW, "now", "abc1234", "env")
    assert (figure.settings, figure.options) == (Settings(), given.job.options)
    assert (figure.device, figure.samples, figure.rounds) == ("cpu", 0, 1)
    [stored] = figures([StoredRecord(**{**vars(given), "device": "nvidia-h200"})])
    assert stored.device == "nvidia-h200"


EFFORTS = {
    "budget_s": (1.0, 2.0),
    "goldens": (["a"], ["b"]),
    "second_opinion": (True, False),
    "batch": (1, 2),
    "devices": (["cpu"], ["cuda"]),
    "workers": (0, 1),
}


@pytest.mark.parametrize("name", EFFORT)
def test_how_hard_a_job_tries_makes_no_other_configuration(name):
    less, more = EFFORTS[name]
    found = figures([record(value=1, run=OLD, options={name: less}), record(value=2, run=NEW, options={name: more})])
    assert [figure.value for figure in found] == [2]


def test_effort_is_how_long_and_on_what_evidence_a_job_measures():
    assert set(EFFORT) == set(EFFORTS)


@pytest.mark.parametrize(
    "changes",
    [
        {"paper": "other"},
        {"subject": "demo_s"},
        {"form": "plain"},
        {"job_metric": "flops"},
        {"settings": Settings(batch=1)},
        {"options": {"dataset": "voc12"}},
        {"options": {3: {1}}},
        {"metric": "params_trainable", "job_metric": "params"},
    ],
)
def test_whatever_else_differs_is_another_configuration(changes):
    assert len(figures([record(run=OLD, options={}), record(run=NEW, **changes)])) == 2


def test_devices_are_configurations_of_their_own():
    given = record()
    devices = [StoredRecord(**{**vars(given), "device": device}) for device in ("a", "b")]
    assert [figure.device for figure in figures([*devices, given])] == ["a", "b", "cpu"]


def test_only_rounds_of_the_newest_run_count_in_whatever_order_they_come():
    rounds = [
        latency([0.1], run=OLD, round=0),
        latency([0.2], run=NEW, round=1),
        latency([0.9], run=OLD, round=2),
        latency([0.4], run=NEW, round=0),
    ]
    [figure] = figures(rounds)
    assert figure.times == ((0.4,), (0.2,)), "in the order of rounds"
    assert figure.run == NEW


def test_records_need_not_outlive_the_reading_of_the_next():
    """The place in memory of a job that is gone may be the next one's, which is another job all the same."""
    made = record()

    def read():
        for subject in ("a", "b"):
            yield record(subject=subject, run=NEW)
        for number in range(20):
            for subject, run in (("a", OLD), ("a", OLD), ("b", NEW)):
                yield replace(made, run=run, job=replace(made.job, subject=subject, round=number))

    assert [(figure.subject, figure.rounds) for figure in figures(read())] == [("a", 1), ("b", 20)]


@pytest.mark.parametrize(
    ("metric", "training", "name"),
    [
        ("throughput", False, "throughput"),
        ("throughput", True, "throughput_training"),
        ("memory_training", True, "memory_training"),
        ("memory_training", False, "memory_training"),
    ],
)
def test_a_row_measured_on_training_steps_has_a_name_of_its_own(metric, training, name):
    assert row_name(record(metric, settings=Settings(training=training))) == name


def test_training_throughput_is_a_speed_too():
    [figure] = figures([throughput([1.6], settings=Settings(batch=8, training=True))])
    assert (figure.row, figure.value) == ("throughput_training", pytest.approx(5))


@pytest.mark.parametrize(
    ("asked", "found", "batch"), [(4, None, 4), (None, 16, 16), (4, 16, 4), (None, None, None), (None, 0, None)]
)
def test_the_batch_is_the_one_asked_for_or_else_found(asked, found, batch):
    detail = {} if found is None else {"batch": found}
    [figure] = figures([record(settings=Settings(batch=asked), detail=detail)])
    assert figure.batch == batch


def test_the_shape_of_a_sample_is_the_options_resized_as_asked():
    options = {"sample_shape": [3, 224, 224]}
    assert figures([record(options=options)])[0].sample_shape == (3, 224, 224)
    assert figures([record(options=options, settings=Settings(input_size=(64, 96)))])[0].sample_shape == (3, 64, 96)
    assert figures([record()])[0].sample_shape == ()
