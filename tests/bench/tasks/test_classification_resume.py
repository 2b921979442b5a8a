"""An evaluation that is cut off goes on where it was, and ends with the same predictions."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.machine.group import Alone
from claimbench.bench.measure.scoring.journal import Count, Journal, Predictions
from claimbench.bench.measure.scoring.lines import part, whole_file
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from claimbench.bench.tasks.image_classification.preprocessing import preprocessing_of
from claimbench.bench.tasks.image_classification.sweep import Task, evaluate, unfinished
from tests.bench.evaluation_data import imagenet


class Fragile(nn.Module):
    """Classes by colour; stops working after some batches."""

    def __init__(self, batches=10**9):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3 * 16, 7)
        self.left, self.seen = batches, 0

    def forward(self, x):
        if x.dtype == torch.float32:  # and not a near tie that is being settled
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("power cut")
            self.seen += len(x)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures = checked(DATASETS["folder"], str(imagenet(tmp_path / "data", classes=7, each=3)))
    return lambda batch=4, **what: Task(
        pictures,
        range(len(pictures)),
        preprocessing_of((3, 8, 8), {}, None),
        "fp32",
        batch,
        0,
        None,
        tmp_path / "out" / "key",
        {"chosen": 21, **what},
    )


def run(model, task):
    return evaluate(Subject(model.eval(), (3, 8, 8), "x", torch.device("cpu"), torch.float32), task, Alone())


def test_what_was_done_before_the_cut_is_not_done_again(task):
    whole = run(Fragile(), task()).ranked.tolist()
    whole_file(task().base).unlink()
    with pytest.raises(RuntimeError, match="power cut"):
        run(Fragile(batches=3), task())
    assert len(part(task().base, 0).read_text().splitlines()) == 1 + 12
    model = Fragile()
    assert run(model, task()).ranked.tolist() == whole
    assert model.seen == 9
    assert not part(task().base, 0).exists()


def test_a_line_that_was_being_written_is_done_again(task):
    whole = run(Fragile(), task()).ranked.tolist()
    lines = whole_file(task().base).read_bytes().splitlines(keepends=True)
    whole_file(task().base).unlink()
    part(task().base, 0).write_bytes(b"".join(lines[:6]) + lines[6][:9])
    assert run(Fragile(), task()).ranked.tolist() == whole
    assert [json.loads(line)["i"] for line in whole_file(task().base).read_text().splitlines()[1:]] == list(range(21))


def test_predictions_of_something_else_are_not_gone_on_with(task):
    run(Fragile(), task(weights_sha256="a"))
    model = Fragile()
    run(model, task(weights_sha256="b"))
    assert model.seen >= 21


def test_parts_of_several_processes_are_all_used(task):
    whole = run(Fragile(), task()).ranked.tolist()
    head, *lines = whole_file(task().base).read_bytes().splitlines(keepends=True)
    whole_file(task().base).unlink()
    part(task().base, 0).write_bytes(head + b"".join(lines[:8]))
    part(task().base, 1).write_bytes(head + b"".join(lines[8:]))
    model = Fragile()
    assert run(model, task()).ranked.tolist() == whole
    assert model.seen == 0


def test_batches_are_cut_from_all_pictures_whatever_is_done_already():
    found = Predictions(10)
    for index in (0, 1, 2, 3, 9):
        found.put(index, [1], False)
    assert unfinished(range(10), 4, found) == [[4, 5, 6, 7], [8, 9]]
    assert unfinished([1, 4, 8], 2, found) == [[8]] or unfinished([1, 4, 8], 2, found) == [[1, 4], [8]]


def test_damaged_lines_are_passed_over(task):
    run(Fragile(), task())
    file = whole_file(task().base)
    head, *lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(head + b'{"i": 99999, "top": [1]}\n{"top": 1}\nnonsense\n[1]\n' + b"".join(lines[:5]))
    assert (Journal(task().base, task().what).load(21).missing() == range(5, 21)).all()


def test_a_full_disk_is_said(task, monkeypatch):
    from claimbench.bench.store import jsonl

    def full(path, lines):
        raise UserError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr(jsonl, "append", full)
    with pytest.raises(UserError, match="No space left on device"):
        run(Fragile(), task())


def test_progress_is_read_from_the_files(task):
    assert Count(task().base).text() == ""
    run(Fragile(), task())
    assert Count(task().base).text() == "21 of 21 pictures"


SLOW = """
import sys, time, torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(48, 7)
    def forward(self, x):
        time.sleep(0.3)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))

def make():
    return Slow().eval()
"""


def test_a_killed_run_resumes_to_the_same_predictions(tmp_path, environment):
    imagenet(tmp_path / "data", classes=7, each=4)
    (tmp_path / "slow.py").write_text(SLOW)
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = [sys.executable, "-m", "claimbench.bench", "run"]
    arguments = [
        "--paper",
        "fake",
        "--variant",
        "fake_s",
        "--metrics",
        "accuracy",
        "--dataset",
        "folder",
        "--data",
        "data",
    ]
    arguments += ["--against", "slow.py:make", "--baseline", "none", "--batch", "2"]

    def start(*more):
        return subprocess.Popen(
            [*command, *more], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def parts():
        return [p for p in tmp_path.glob("results/predictions/*/*.part0.jsonl") if p.read_bytes().count(b"\n") > 4]

    killed = start(*arguments)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not parts():
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = len(parts()[0].read_text().splitlines()) - 1
    assert 3 < done < 28
    resumed = start("--resume", "latest")
    _, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err
    [file] = tmp_path.glob("results/predictions/*/*.jsonl")
    again = start(*arguments, "--results", "other")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    [other] = tmp_path.glob("other/predictions/*/*.jsonl")
    assert file.read_text().splitlines()[1:] == other.read_text().splitlines()[1:]
