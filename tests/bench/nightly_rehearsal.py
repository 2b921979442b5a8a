"""What rehearsals of ``bench nightly`` share: a small plan, a worker that answers at once, what lies on the disk."""

import json
import subprocess
import sys
import time

from claimbench.bench.store.store import Store

PLAN = ("nightly", "--paper", "fake", "--variant", "fake_s", "fake_m", "--baseline", "none")
QUICK = ("--metrics", "params,flops,latency")


def start(tmp_path, environment, *arguments, **changes):
    command = [sys.executable, "-m", "tests.bench.fast_bench", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment | changes, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def nights(tmp_path):
    return [json.loads(file.read_text()) for file in sorted((tmp_path / "results/nights").glob("*/*.json"))]


def pages(tmp_path):
    return [file.read_text() for file in sorted((tmp_path / "results/nights").glob("*/*.md"))]


def wait_for_records(tmp_path, count=1, timeout=60):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        lines = [line for f in (tmp_path / "results").glob("records/*/*.jsonl") for line in f.read_bytes().splitlines()]
        if len(lines) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was measured")


def check_whole(tmp_path, night):
    """Every job of the night's plan is stored, and nothing twice."""
    results = tmp_path / "results"
    store = Store(results)
    planned = json.loads((results / f"runs/{night}.json").read_text())["jobs"]
    records = store.query(run=night)
    assert store.problems == []
    rows = [(record.key, record.measurement.metric) for record in records]
    assert len(rows) == len(set(rows)), "something is stored twice"
    assert {record.key for record in records} == store.done_keys(night)
    assert len(store.done_keys(night)) == len(planned)
