"""Several processes give what one gives, each picture counted once; only the first prints and stores."""

import json
import subprocess
import sys

import pytest

from tests.bench.conftest import environment_of_bench
from tests.bench.evaluation_data import imagenet

MODEL = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 7)
        self.head = nn.Sequential(*layers)
    def forward(self, x):
        return self.head(x)

def make():
    return Small().eval()

def breaks():
    model = make()
    model.register_forward_pre_hook(lambda module, inputs: 1 / 0 if len(inputs[0]) > 1 else None)
    return model
"""
ARGUMENTS = [
    *("run", "--paper", "fake", "--variant", "fake_s", "--form", "merged", "--metrics", "accuracy"),
    *("--baseline", "none", "--no-claims"),
    *("--dataset", "folder", "--data", "data", "--batch", "4", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def run(place):
    imagenet(place / "data", classes=7, each=5)  # 35 pictures: neither 2 nor 4 divides them
    (place / "model.py").write_text(MODEL)
    environment = environment_of_bench() | {"XDG_CACHE_HOME": str(place / "cache"), "GLOO_SOCKET_IFNAME": "lo"}

    def run(results, *more, launcher=(sys.executable, "-m", "claimbench.bench"), model="make"):
        done = subprocess.run(
            [*launcher, *ARGUMENTS, "--against", f"model.py:{model}", "--results", results, *more],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        files = list((place / results).glob("predictions/*/*.jsonl"))
        lines = [json.loads(line) for line in files[0].read_text().splitlines()[1:]] if files else []
        return done, lines

    return run


@pytest.fixture(scope="module")
def one(run):
    """What one process gives: how it ended, and its lines."""
    return run("one")


def scores(place, results):
    files = (place / results).glob("records/*/*.jsonl")
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [(r["measurement"]["metric"], r["measurement"]["value"]) for r in records if ":" in r["job"]["subject"]]


def test_two_processes_give_what_one_gives(run, one, place):
    done, expected = one
    assert done.returncode == 0, done.stderr
    assert [line["i"] for line in expected] == list(range(35))
    two, lines = run("two", "--devices", "0,1")
    assert two.returncode == 0, two.stderr
    assert lines == expected
    assert scores(place, "two") == scores(place, "one") != []


def test_torchrun_gives_the_same_and_prints_once(run, one, place):
    alone, expected = one
    launcher = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "claimbench.bench",
    )
    done, lines = run("torchrun", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert lines == expected
    assert scores(place, "torchrun") == scores(place, "one") != []
    assert done.stderr.count("starting run") == 1
    title = "A paper that exists for tests"
    assert done.stdout.count(title) == alone.stdout.count(title) > 0


def test_a_process_that_dies_is_a_row_that_says_so(run):
    done, lines = run("dies", "--devices", "0,1", model="breaks")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert lines == []


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [("0,x", "--devices takes numbers, for example 0,1, not 'x'"), ("1,1", "--devices names a device twice: 1,1")],
)
def test_devices_that_cannot_be_are_said(run, devices, sentence):
    done, _ = run("wrong", "--devices", devices)
    assert done.returncode == 2
    assert sentence in done.stderr
