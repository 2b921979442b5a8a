"""Jobs run in processes of their own; whatever these do, rows come out and nothing measured is lost."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, Options, Settings
from claimbench.bench.machine.process import Interrupted, Stop, ask
from claimbench.bench.run.jobs import run_jobs, start
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.run.runner import execute, label
from claimbench.bench.store.history import History
from claimbench.bench.store.ledger import Ledger
from claimbench.bench.store.store import Store
from tests.bench.listening import Heard


@pytest.fixture(autouse=True)
def fast_worker(monkeypatch, environment):
    monkeypatch.setattr("claimbench.bench.run.jobs.WORKER", "tests.bench.fake_worker")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])


def job(do="", metric="params", **changes):
    return Job(**{"paper": "fake", "subject": "x", "form": "", "metric": metric, "settings": Settings(), **changes,
                  "options": Options(config={"do": do})})  # fmt: skip


def outcomes(*jobs, timeout=60):
    return [(rows[0].status, rows[0].reason) for _, rows in run_jobs(jobs, timeout)]


def test_rows_come_back_in_order():
    jobs = [job(), job(metric="flops"), job(metric="latency", round=2)]
    found = list(run_jobs(jobs, 60))
    assert [j for j, _ in found] == jobs
    assert [row.metric for row in found[1][1]] == ["macs", "flops", "macs_fvcore"]
    assert found[2][1][0].value == 3
    assert found[2][1][0].samples == (0.1,) * 8


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("abort", "the process crashed (SIGABRT): last words"),
        ("kill", "the process was killed (SIGKILL), most likely because the machine ran out of memory"),
        ("exit", "the process ended with exit status 3"),
    ],
)
def test_a_process_that_dies_costs_one_job_and_says_why(do, reason):
    assert outcomes(job(), job(do), job(metric="flops")) == [("measured", ""), ("failed", reason), ("measured", "")]


def test_every_row_of_a_job_that_died_is_there():
    [(_, rows)] = run_jobs([job("abort", metric="memory")], 60)
    assert len(rows) == 5
    assert {row.status for row in rows} == {"failed"}


def test_who_waits_is_called_again_and_again():
    called = []
    [(_, rows)] = run_jobs([job("hang")], 3.5, waiting=lambda: called.append(time.monotonic()))
    assert rows[0].status == "failed"
    assert 3 <= len(called) <= 4


def test_progress_comes_between_answers_and_not_too_often():
    heard = Heard("jobs")
    found = list(run_jobs([job("moves"), job(metric="flops")], 60, listener=heard))
    assert [rows[0].status for _, rows in found] == ["measured", "measured"]
    assert heard.of("at") == [(0, 9), (0, 9), (3, 9)]


def test_a_job_that_moves_is_ended_when_its_time_is_up(monkeypatch):
    monkeypatch.setenv("FAKE_DELAY", "0")
    assert outcomes(job("moves"), timeout=0.3) == [("failed", "not done after 0.3 s (--timeout)")]


def test_the_listener_of_a_job_is_told_its_stages_and_that_of_all_jobs_the_time_left():
    told = []

    class Both(Heard):
        def begin(self, what, total=None, *, done=0, unit=""):
            return Both(what)

        def at(self, done, total=None, what=""):
            told.append((self.what, what))

        def expect(self, seconds):
            told.append((self.what, round(seconds)))

    plan = plan_of(job("moves"), job(metric="memory"))
    with Stop() as stop:
        execute(plan, Ledger(plan.run, None), stop, Both())
    params, memory = (label(j) for j in plan.jobs)
    by_kind = History(())
    first, second = (by_kind.seconds(j) for j in plan.jobs)
    assert told == [
        ("all jobs", first + second), (params, first),
        (params, f"{params}, stage 0"), (params, f"{params}, stage 0"), (params, f"{params}, stage 3"),
        ("all jobs", ""),
        ("all jobs", second), (memory, second), ("all jobs", ""),
    ]  # fmt: skip


def test_a_job_that_hangs_is_ended_and_the_next_one_runs():
    found = outcomes(job("hang"), job(), timeout=3)
    assert found == [("failed", "not done after 3 s (--timeout)"), ("measured", "")]


@pytest.mark.parametrize(
    ("do", "reason"), [("garbage", "Expecting value: line 1"), ("stranger", "0.value.float: Input should be a valid")]
)
def test_an_answer_that_is_none_is_a_failure_that_says_where_it_is_wrong(do, reason):
    [(wrong, said), after] = outcomes(job(do), job())
    assert wrong == "failed"
    assert said.startswith(f"the process gave a wrong answer: {reason}")
    assert after == ("measured", "")


def test_an_answer_that_is_not_json_is_one_sentence():
    with pytest.raises(RuntimeError, match="the process gave a wrong answer: Expecting value"):
        ask("tests.bench.fake_worker", [job("garbage").to_json()], 60)


def test_a_process_that_answers_nothing_says_why():
    with pytest.raises(RuntimeError, match="exit status 3"):
        ask("tests.bench.fake_worker", [job("exit").to_json() | {"settings": {}}], 60)


def test_a_signal_ends_the_worker_at_once():
    before = signal.getsignal(signal.SIGINT)
    start = time.monotonic()
    with Stop() as stop:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(Interrupted):
            list(run_jobs([job("hang")], 600, stop))
    assert time.monotonic() - start < 30
    assert signal.getsignal(signal.SIGINT) is before


def plan_of(*jobs, **changes):
    return RunFile(**{"run": "20260101T000000Z-abcdef", "papers": ("fake",), "device": "cpu", "jobs": jobs, **changes})


def test_records_are_stored_and_those_stored_are_not_measured_again(tmp_path):
    plan = plan_of(job(), job(metric="flops"), job("abort", metric="latency"))
    store = Store(tmp_path)
    with Stop() as stop:
        execute(plan, Ledger(plan.run, store), stop)
        again = Ledger(plan.run, Store(tmp_path))
        assert again.done() == {j.key() for j in plan.jobs}
        heard = Heard()
        execute(plan, again, stop, heard)
    assert heard.begun() == ["all jobs"]
    records = Store(tmp_path).query(run=plan.run)
    assert len(records) == 2 + 3 + 1
    assert {r.environment for r in records} == {records[0].environment}
    assert Store(tmp_path).environment(records[0].environment)["python"]


def test_a_store_that_fails_on_the_way_loses_nothing(tmp_path):
    class Full(Store):
        def append(self, *records, device):
            if records[0].job.metric == "flops":
                raise UserError("the disk is full")
            super().append(*records, device=device)

    plan = plan_of(job(), job(metric="flops"), job(metric="latency"))
    ledger = Ledger(plan.run, Full(tmp_path))
    with Stop() as stop:
        execute(plan, ledger, stop)
    assert "the disk is full" in ledger.problem
    assert {r.measurement.metric for r in ledger.records()} >= {"params", "macs", "latency"}
    assert {r.job.metric for r in Store(tmp_path).query(run=plan.run)} == {"params"}
    latency = next(r for r in ledger.records() if r.job.metric == "latency")
    assert ledger.samples(latency) == (0.1,) * 8


def test_progress_is_told_of_each_job_before_and_after(tmp_path):
    heard = Heard()
    plan = plan_of(job(), job("abort", metric="flops"), job(metric="latency"))
    with Stop() as stop:
        execute(plan, Ledger(plan.run, None), stop, heard)
    params, flops, latency = (label(j) for j in plan.jobs)
    failed = ("failed", flops, "the process crashed (SIGABRT): last words")
    done = [("at", "all jobs", (number, None)) for number in (1, 2, 3)]
    assert heard.told == [
        ("begin", "all jobs", 3), ("begin", params, None), ("end", params, None), done[0],
        ("begin", flops, None), failed, ("end", flops, None), done[1],
        ("begin", latency, None), ("end", latency, None), done[2], ("end", "all jobs", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("cores", "expected"), [(2, ["start", "row", "start", "row", "row"]), (1, ["row"] * 3)])
def test_what_needs_no_clock_runs_ahead_where_there_are_cores(tmp_path, monkeypatch, cores, expected):
    told = []

    class Told(Ledger):
        def add(self, *row):
            told.append("row")
            super().add(*row)

    def spy(jobs):
        told.append("start")
        return start(jobs)

    monkeypatch.setattr("claimbench.bench.run.runner.start", spy)
    monkeypatch.setattr("claimbench.bench.run.runner.environment.cores", lambda: cores)
    plan = plan_of(job(), job(subject="y"), job(subject="z"), job(subject="z", metric="throughput"))
    with Stop() as stop:
        execute(plan, Told(plan.run, Store(tmp_path)), stop)
    assert told == [*expected, "row"], "nothing runs beside a time"
    stored = [r.job.subject for r in Store(tmp_path).query(run=plan.run)]
    assert list(dict.fromkeys(stored)) == ["x", "y", "z"]


def test_a_process_that_nobody_waited_for_is_ended(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("claimbench.bench.run.runner.environment.cores", lambda: 2)
    monkeypatch.setattr("claimbench.bench.run.runner.start", lambda jobs: started.append(start(jobs)) or started[-1])

    class Ends(Ledger):
        def add(self, *row):
            raise Interrupted

    plan = plan_of(job(), job("hang", subject="y"))
    with Stop() as stop, pytest.raises(Interrupted):
        execute(plan, Ends(plan.run, Store(tmp_path)), stop)
    (process,) = started
    assert process._popen.poll() is not None


def test_every_round_has_the_batch_that_the_first_one_found(tmp_path, monkeypatch):
    asked = []

    def answers(jobs, timeout, stop, waiting, listener, process):
        for one in jobs:
            asked.append((one.round, one.options.batch))
            row = Measurement("throughput", 1.0, "img/s", "fake", detail={"batch": one.options.batch or 32})
            yield one, [row]

    monkeypatch.setattr("claimbench.bench.run.runner.run_jobs", answers)
    plan = plan_of(*(job(metric="throughput", round=number) for number in range(3)))
    store = Store(tmp_path)
    with Stop() as stop:
        execute(replace(plan, jobs=plan.jobs[:1]), Ledger(plan.run, store), stop)
        execute(plan, Ledger(plan.run, store), stop)
    assert asked == [(0, None), (1, 32), (2, 32)]
    assert {record.job.key() for record in store.query(run=plan.run)} == {j.key() for j in plan.jobs}


def test_a_plan_survives_the_disk(tmp_path):
    plan = plan_of(job(settings=Settings(input_size=(8, 8), batch=4)), timeout=5.0, seed=3)
    RUNS.save(tmp_path, plan)
    assert RUNS.load(tmp_path, "latest") == plan
    assert [j.key() for j in RUNS.load(tmp_path, plan.run).jobs] == [j.key() for j in plan.jobs]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"jobs": [1]}, r"jobs\.0: Input should be"),
        ({"papers": "overlock"}, "papers: Input should be a valid array"),
        ({"seed": "3"}, "seed: Input should be a valid integer"),
        ({"colour": "red"}, "colour: unknown field"),
        ({"device": None}, "device: Input should be a valid string"),
        ({"jobs": [{"paper": "p"}]}, r"jobs\.0\.subject: missing"),
        ({"jobs": [job().to_json() | {"settings": {"batch": 1.5}}]}, r"jobs\.0\.settings\.batch: Input should be"),
        ({"jobs": [job().to_json() | {"options": {"goldens": "a"}}]}, "the option goldens of a job is not of the type"),
    ],
)
def test_a_damaged_plan_says_where(tmp_path, changes, reason):
    RUNS.save(tmp_path, plan_of(job()))
    (file,) = (tmp_path / "runs").iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(UserError, match=rf"the plan .* is damaged \({reason}.*\): start a new run$"):
        RUNS.load(tmp_path, "latest")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_plan_says_so(tmp_path, text):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_bytes(text)
    with pytest.raises(UserError, match=r"is damaged \(.+\): start a new run$"):
        RUNS.load(tmp_path, "latest")


def test_a_plan_of_a_version_with_fewer_fields_is_read(tmp_path):
    old = {name: value for name, value in plan_of(job()).to_json().items() if name not in ("claims", "seed", "timeout")}
    old["jobs"] = [{**old["jobs"][0], "settings": {"device": "cpu"}}]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text(json.dumps(old))
    assert RUNS.load(tmp_path, "latest") == plan_of(job())


def test_an_unknown_run_gets_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match="there is no run to resume"):
        RUNS.load(tmp_path, "latest")
    RUNS.save(tmp_path, plan_of(job()))
    with pytest.raises(UserError, match="did you mean 20260101T000000Z-abcdef"):
        RUNS.load(tmp_path, "20260101T000000Z-abcdee")


def test_a_worker_does_not_outlive_its_runner(tmp_path, environment):
    import subprocess
    import sys

    code = """
import sys
from claimbench.bench.machine.process import Process
from tests.bench.run.test_runner import job
process = Process("tests.bench.fake_worker", [job("hang").to_json()])
print(process._popen.pid, flush=True)
process.line(600, None)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as runner:
        worker = int(runner.stdout.readline())
        time.sleep(2)
        runner.kill()
    for _ in range(100):
        try:
            gone = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            gone = True
        if gone:
            return
        time.sleep(0.1)
    pytest.fail("the worker goes on")
