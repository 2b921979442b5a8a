"""The time left of a run: what its like took before here, else earlier in the run, else a guess by its kind."""

import time

import pytest

from claimbench.bench.core.records import Job, Settings
from claimbench.bench.run.forecast import Forecast
from claimbench.bench.store.history import DEFAULT_S, OTHER_DEFAULT_S, History
from tests.bench.regress_worlds import exact


def job(subject, metric, number=0):
    return Job("demo", subject, "", metric, Settings(batch=1), number)


def measured(subject, metric, spent):
    """A record of a run in which one job took ``spent`` seconds."""
    changes = {"run": "20260101T000000Z-aaaaaa", "time": f"2026-01-01T00:00:{spent:02}+00:00"}
    return exact(metric, 1.0, paper="demo", subject=subject, **changes)


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_without_records_a_kind_has_a_duration_of_its_own(now):
    jobs = [job("a", "params"), job("a", "latency"), job("b", "latency")]
    assert Forecast(jobs, History(())).left() == DEFAULT_S["params"] + 2 * OTHER_DEFAULT_S


def test_what_the_same_job_took_on_this_machine_counts_most(now):
    forecast = Forecast([job("a", "latency"), job("b", "latency")], History([measured("a", "latency", 40)]))
    assert forecast.left() == 80, "one that was never measured is expected to take as long as others of its kind"
    now[0] += 10
    assert forecast.job() == 30
    forecast.end()
    assert forecast.left() == 10, "and then as long as those of this run"


def test_a_job_that_takes_longer_than_expected_leaves_the_others(now):
    forecast = Forecast([job("a", "params"), job("a", "latency")], History(()))
    now[0] += 100
    assert forecast.job() == 0
    assert forecast.left() == OTHER_DEFAULT_S


def test_time_between_two_jobs_is_not_counted(now):
    forecast = Forecast([job("a", "latency"), job("b", "latency"), job("c", "latency")], History(()))
    now[0] += 5
    forecast.end()
    now[0] += 60
    forecast.begin()
    assert forecast.left() == 10
