"""The worker turns a job into rows, whatever the model does."""

import json
import os
import subprocess
import sys

import pytest

from claimbench.bench.core import errors, records
from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Measurement, Options, Settings
from claimbench.bench.measure import METRICS, ROWS
from claimbench.bench.run import worker

MODELS = """
import torch
class Noisy(torch.nn.Linear):
    def forward(self, x):
        print("noise on stdout")
        return super().forward(x)
def noisy():
    print("more noise")
    return Noisy(4, 4)
def broken():
    raise ZeroDivisionError("one\\ntwo")
"""


@pytest.fixture
def models(tmp_path):
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def spawn(job):
    read, write = os.pipe()
    command = [sys.executable, "-m", "claimbench.bench.run.worker", "--out-fd", str(write)]
    done = subprocess.run(
        command, input=json.dumps([job.to_json()]), text=True, capture_output=True, pass_fds=(write,), check=False
    )
    os.close(write)
    with os.fdopen(read) as file:
        *progress, answer = map(json.loads, file)
    assert all(line.keys() == {"progress"} for line in progress)
    return done, [Measurement(**row) for row in answer], [line["progress"] for line in progress]


def test_one_line_of_rows_comes_back_and_prints_go_to_stderr(models):
    job = Job(
        "", f"{models}:noisy", "", "flops", Settings(input_size=(4,), threads=1), options=Options(sample_shape=(4,))
    )
    done, rows, progress = spawn(job)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "noise on stdout" in done.stderr
    assert {row.metric: row.value for row in rows} == {"macs": 16, "flops": 32, "macs_fvcore": 16}
    assert progress == [[0, None, "building the model"], [0, None, "measuring"]]


def test_a_model_that_dies_yields_every_row_with_its_reason(models):
    rows = worker.run(Job("", f"{models}:broken", "", "flops", Settings()))
    assert [row.metric for row in rows] == ["macs", "flops", "macs_fvcore"]
    assert {(row.status, row.reason) for row in rows} == {("failed", "ZeroDivisionError: one")}


def test_user_errors_and_unavailable_ones_differ(models):
    wrong = worker.run(Job("", f"{models}:nosy", "", "params", Settings()))
    assert wrong[0].status == "failed"
    assert "did you mean noisy" in wrong[0].reason
    other = worker.run(Job("", f"{models}:noisy", "", "params", Settings(mode="cudagraph")))
    assert other[0].status == "unavailable"
    unknown = worker.run(Job("", "x", "", "flop", Settings()))
    assert "did you mean flops" in unknown[0].reason


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(error):
    job = Job("", "x", "", "throughput", Settings(device="cuda:0", batch=512))
    assert errors.explain(error, job) == "batch 512 does not fit in the memory of cuda:0"


def test_figures_that_are_no_numbers_fail():
    row = worker._finite(Measurement("parity", float("nan"), "rel", "x", samples=(1.0,)))
    assert (row.status, row.value, row.samples) == ("failed", None, ())
    kept = worker._finite(Measurement("parity", 1.0, "rel", "x", detail={"a": [1.0, {"b": float("inf")}], "c": "d"}))
    assert kept.value == 1.0
    assert kept.detail == {"a": [1.0, {"b": None}], "c": "d"}


def test_a_model_is_built_once_for_jobs_that_want_the_same(models):
    load = worker.Loader()
    job = Job("", f"{models}:noisy", "", "throughput", Settings(batch=8), options=Options(budget_s=1))
    first = load(job)
    first.model.train()
    again = load(Job("", f"{models}:noisy", "", "latency", Settings(batch=1)))
    assert again.model is first.model
    assert not again.model.training
    assert load(Job("", f"{models}:noisy", "", "latency", Settings(channels_last=True))).model is not first.model


def test_jobs_survive_json():
    job = Job(
        "p",
        "v",
        "plain",
        "latency",
        Settings(input_size=(3, 4, 5), batch=2),
        3,
        Options(goldens=("a",), data="", workers=0),
    )
    assert records.read_job(json.loads(json.dumps(job.to_json()))) == job


def test_every_metric_has_a_module_and_rows():
    from importlib import import_module

    assert set(METRICS) == set(ROWS)
    for module in METRICS.values():
        assert callable(import_module(module).measure)


def test_listing_metrics_loads_no_torch():
    modules = "claimbench.bench.measure, claimbench.bench.run.worker"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unavailable_is_not_a_user_error():
    from claimbench.bench.core.errors import UserError

    assert not issubclass(UnavailableError, UserError)
