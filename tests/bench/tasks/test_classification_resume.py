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
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.measure.scoring.lines import part, whole_file
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from claimbench.bench.tasks.image_classification.evaluate import PictureEvaluation
from claimbench.bench.tasks.image_classification.preprocessing import preprocessing_of
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
def base(tmp_path):
    return tmp_path / "out" / "key"


@pytest.fixture
def run(tmp_path, monkeypatch, base):
    """Evaluate a model on 21 pictures, four at a time, and return the ranked classes of each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures = checked(DATASETS["folder"], str(imagenet(tmp_path / "data", classes=7, each=3)))
    evaluation = PictureEvaluation(DATASETS["folder"], pictures, range(21), preprocessing_of((3, 8, 8), {}, None), None)

    def run(model, **changes):
        subject = Subject(model.eval(), (3, 8, 8), "x", torch.device("cpu"), torch.float32)
        options = Options(predictions=str(base), batch=4, **changes)
        job = Job("", "x", "", "accuracy", Settings(weights="official"), options=options)
        return [top for top, _ in evaluation.run(subject, job)[0]]

    return run


def test_what_was_done_before_the_cut_is_not_done_again(run, base):
    whole = run(Fragile())
    whole_file(base).unlink()
    with pytest.raises(RuntimeError, match="power cut"):
        run(Fragile(batches=3))
    assert len(part(base, 0).read_text().splitlines()) == 1 + 12
    model = Fragile()
    assert run(model) == whole
    assert model.seen == 9
    assert not part(base, 0).exists()


def test_a_picture_that_is_gone_is_named_and_what_was_done_is_kept(run, base, tmp_path):
    whole = run(Fragile())
    whole_file(base).unlink()
    file = sorted((tmp_path / "data").glob("*/*"))[20]
    content = file.read_bytes()
    for workers in (0, 1):
        file.unlink()
        with pytest.raises(UserError) as caught:
            run(Fragile(), workers=workers)
        assert str(caught.value).startswith(f"{file.parent.name}/{file.name} in {tmp_path / 'data'} can no longer be")
        file.write_bytes(content)
    model = Fragile()
    assert run(model) == whole
    assert model.seen == 1


def test_predictions_of_another_model_are_not_gone_on_with(run):
    run(Fragile(), config={"depth": 1})
    model = Fragile()
    run(model, config={"depth": 2})
    assert model.seen == 21


def test_a_file_says_what_was_evaluated_and_each_picture_with_its_label_and_ranks(run, base):
    whole = run(Fragile())
    head, *lines = [json.loads(line) for line in whole_file(base).read_text().splitlines()]
    assert list(head) == ["evaluation"]
    told = "chosen config dataset device mode pictures precision preprocessing software subject weights"
    assert list(head["evaluation"]) == told.split(), "an evaluation that says something else is begun anew"
    for number, line in enumerate(lines):
        settled = {"settled": True} if "settled" in line else {}
        assert line["file"].endswith(f"/ILSVRC2012_val_{number + 1:08d}.JPEG")
        own = {"i": number, "file": line["file"], "label": number // 3, "top": whole[number], **settled}
        assert json.dumps(line) == json.dumps(own), "their order is part of the form"


def test_a_line_without_ranks_or_with_other_things_is_passed_over(run, base):
    """Files of earlier versions hold an empty line for each picture that a limit left out."""
    whole = run(Fragile())
    head, *lines = whole_file(base).read_bytes().splitlines(keepends=True)
    damaged = b'{"i": 0, "top": []}\n{"i": 1, "top": [1, 2, 3, 4, 5, 6]}\n{"i": 2, "top": 1}\n{"i": [3], "top": [1]}\n'
    whole_file(base).write_bytes(head + damaged + b'{"i": 99999, "top": [1]}\n{"top": 1}\n' + b"".join(lines[4:8]))
    model = Fragile()
    assert run(model) == whole
    assert model.seen == 17


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
