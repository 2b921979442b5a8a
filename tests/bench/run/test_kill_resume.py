"""A run that is killed at any moment loses the measurement in flight at most, and goes on where it was."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import orjson
import pytest

from claimbench.bench.store.store import Store

KILLS = int(os.environ.get("BENCH_TEST_KILLS", "8"))
"""Set to 50 for the long version."""

PLAN = ("run", "--paper", "fake", "--all", "--variant", "fake_s", "fake_m", "--rounds", "3", "--baseline", "none")


def lines(root):
    """All whole stored lines, by file."""
    return {
        path.relative_to(root): [line for line in path.read_bytes().split(b"\n") if line.endswith(b"}")]
        for path in root.glob("re*/*/*.jsonl")
    }


def start(tmp_path, environment, *arguments):
    command = [sys.executable, "-m", "tests.bench.fast_bench", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def planned(results):
    [file] = (results / "runs").glob("*.json")
    return {json.dumps(job, sort_keys=True) for job in json.loads(file.read_text())["jobs"]}, file.stem


def test_kills_at_random_moments_lose_and_break_nothing(tmp_path, environment):
    chance = random.Random(0)
    results = tmp_path / "results"
    environment["FAKE_DELAY"] = "0.1"
    arguments = (*PLAN, "--rounds", str(2 * KILLS))  # more work than can be done between the kills
    seen, kills = {}, 0
    while kills < KILLS:
        process = start(tmp_path, environment, *arguments)
        # Every other one is killed while it measures, however slow the machine is to start it.
        deadline = time.monotonic() + 120
        while kills % 2 and lines(results) == seen and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 1.0) if kills % 2 else chance.uniform(0.2, 3.0))
        process.kill()
        process.communicate()
        kills += 1
        found = lines(results)
        for file, before in seen.items():
            assert found[file][: len(before)] == before, "a stored record was lost or changed"
        seen = found
        if list((results / "runs").glob("*.json")):
            arguments = ("run", "--resume", "latest")
    assert any(seen.values())
    assert start(tmp_path, environment | {"FAKE_DELAY": "0"}, "run", "--resume", "latest").wait(600) == 0
    jobs, run = planned(results)
    store = Store(results)
    records = store.query(run=run)
    assert store.problems == []
    assert len({record.key for record in records}) == len(jobs)
    rows = [(record.key, record.measurement.metric) for record in records]
    assert len(rows) == len(set(rows)), "something was measured twice"
    assert all(orjson.loads(line) for found in lines(results).values() for line in found)
    assert all(len(store.samples(r)) == 8 for r in records if r.measurement.metric in ("throughput", "latency"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_keeps_what_there_is_and_says_how_to_go_on(tmp_path, environment, number):
    results = tmp_path / "results"
    process = start(tmp_path, environment, *PLAN)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(lines(results).values()):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Parameters" in out
    assert "Traceback" not in err
    jobs, run = planned(results)
    assert f"bench run --resume {run}" in err
    kept = len({record.key for record in Store(results).query(run=run)})
    assert f"{len(jobs) - kept} of {len(jobs)} jobs left" in err
    assert start(tmp_path, environment, "run", "--resume", run).wait(120) == 0
    assert len({record.key for record in Store(results).query(run=run)}) == len(jobs)


def test_a_finished_run_resumes_to_the_same_table_without_measuring(tmp_path, environment):
    first = start(tmp_path, environment, *PLAN, "--metrics", "params")
    out, _ = first.communicate(timeout=120)
    before = lines(tmp_path / "results")
    again = start(tmp_path, environment, "run", "--resume", "latest")
    assert again.communicate(timeout=120)[0] == out
    assert lines(tmp_path / "results") == before
