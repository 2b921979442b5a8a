"""What of a plan fits a budget."""

from datetime import UTC, datetime, timedelta

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Settings
from claimbench.bench.store.history import History
from claimbench.bench.watch.nightly.budget import choose, duration, seconds
from tests.bench.regress_worlds import exact, times

NOW = datetime(2026, 1, 10, tzinfo=UTC)
COMMIT, ELSEWHERE = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("45m", 2700), ("45min", 2700), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-1h", "0s", "8d", "1h x", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UserError, match="budget"):
        seconds(text)


def test_durations_in_words():
    assert [duration(value) for value in (5, 119, 120, 7200, 3 * 86400)] == ["5 s", "119 s", "2 min", "2 h", "3 days"]


def job(subject="m", metric="latency", number=0, paper="demo"):
    return Job(paper, subject, "", metric, Settings(batch=1), number)


def measured(subject, metric="latency", *, days, spent=10, commit=COMMIT, environment="e1", jobs=1):
    """Records of one run in which each job took ``spent`` seconds."""
    start = NOW - timedelta(days=days)
    run = f"{start:%Y%m%dT%H%M%SZ}-aaaaaa"
    found = []
    for number in range(jobs):
        time = (start + timedelta(seconds=spent * (number + 1))).isoformat()
        changes = {"run": run, "commit": commit, "environment": environment}
        made = exact(metric, 1.0, paper="demo", subject=subject, round=number, time=time, **changes)
        found.append(made)
    return found


def chosen(jobs, records, budget=None):
    choice = choose(jobs, History(records), NOW, COMMIT, "e1", budget)
    return [one.unit[1:] for one in choice.run], [one.unit[1:] for one in choice.left], choice


def test_without_a_budget_everything_is_run_in_the_order_of_the_plan():
    jobs = [job("a"), job("b"), job("a", number=1), job("b", number=1)]
    _, left, choice = chosen(jobs, [])
    assert list(choice.jobs) == jobs
    assert left == []


def test_what_is_most_out_of_date_comes_first_and_the_rest_is_left_out():
    records = [*measured("old", days=20), *measured("new", days=1.1)]
    run, left, choice = chosen([job("new"), job("old"), job("never")], records, budget=25)
    assert run == [("never", "latency"), ("old", "latency")]
    assert left == [("new", "latency")]
    assert choice.left[0].reason == "last measured 26 h ago"
    assert choice.run[0].reason == "never measured here"


def test_figures_of_other_code_or_another_environment_are_out_of_date_sooner():
    records = [*measured("same", days=3), *measured("code", days=2.1, commit=ELSEWHERE)]
    run, left, choice = chosen([job("same"), job("code")], records, budget=10)
    assert (run, left) == ([("code", "latency")], [("same", "latency")])
    assert choice.run[0].reason == "last measured 2 days ago, at another commit"
    records = [*measured("same", days=3), *measured("moved", days=2.1, environment="e0")]
    run, _, choice = chosen([job("same"), job("moved")], records, budget=10)
    assert run == [("moved", "latency")]
    assert "another environment" in choice.run[0].reason


def test_of_what_is_as_old_the_more_valuable_and_the_cheaper_come_first():
    records = [*measured("m", "energy", days=2.1), *measured("m", "latency", days=2)]
    assert chosen([job(metric="energy"), job(metric="latency")], records, budget=10)[0] == [("m", "latency")]
    records = [*measured("dear", days=2.1, spent=100), *measured("cheap", days=2, spent=5)]
    assert chosen([job("dear"), job("cheap")], records, budget=50)[0] == [("cheap", "latency")]


def test_nothing_is_left_out_for_ever():
    """A night a day with room for one of three: after some nights each has had its turn."""
    last = dict.fromkeys(("a", "b", "c"), 1.0)
    had = set()
    for _ in range(6):
        records = [r for name, days in last.items() for r in measured(name, days=days, spent=60 if name == "a" else 20)]
        run, _, _ = chosen([job(name) for name in last], records, budget=60)
        had |= {name for name, _ in run}
        last = {name: 1.0 if (name, "latency") in run else days + 1 for name, days in last.items()}
    assert had == {"a", "b", "c"}


def test_costs_are_learnt_from_the_newest_run_and_count_every_round():
    history = History([*measured("m", days=3, spent=500), *measured("m", days=2, spent=20, jobs=3)])
    assert history.seconds(job()) == 20
    assert history.seconds(job("other")) == 20  # as others of its metric
    choice = choose([job(number=n) for n in range(3)], history, NOW, COMMIT, "e1", None)
    assert choice.run[0].seconds == 60


def test_a_gap_in_which_a_run_was_cut_off_is_not_its_cost():
    records = measured("m", days=2, spent=7200, jobs=2)
    assert History(records).seconds(job()) < 100


def test_something_is_run_however_small_the_budget():
    run, left, _ = chosen([job("a"), job("b")], [], budget=1)
    assert len(run) == len(left) == 1


def test_rounds_of_one_model_stay_together():
    records = times("m", [0.1, 0.1, 0.1])
    assert records[0].job.metric == "latency"
    jobs = [job("a", number=n) for n in range(3)] + [job("b", number=n) for n in range(3)]
    _, _, choice = chosen(jobs, [], budget=50)
    assert {found.subject for found in choice.jobs} in ({"a"}, {"b"})
    assert len(choice.jobs) == 3
