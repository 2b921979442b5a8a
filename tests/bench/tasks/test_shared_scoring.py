"""Two processes score segmenters, detectors and enlargers as one does, to the last bit, also after a kill."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.measure.scoring.lines import part, whole_file
from claimbench.bench.run import worker
from claimbench.bench.run.dispatch import Dispatch
from tests.bench import detection_data, segmentation_data

SHARED = ("cpu", "cpu")
MODELS = """
import os
import signal
import time

import numpy as np
import torch
from torch import nn

from claimbench.bench.papers.openmmlab.found import Found


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Conv2d(3, 3, 3, padding=1), 0

    def forward(self, x):
        self.seen += 1
        if "KILLED" in os.environ:
            time.sleep(0.6)  # so that findings are on the disk before
            if os.environ["RANK"] == os.environ["KILLED"] and self.seen == 4:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)


class Detector(nn.Module):
    def detect(self, picture):
        bright = np.flatnonzero(picture.max((0, 2)) > 150)
        box = [bright[0] + 0.3, 5, bright[-1], 40] if len(bright) else [0, 0, 5, 5]
        return Found(np.array([box], np.float32), np.array([picture.mean() / 255]), np.array([0]), None)

    masks = False


class Enlarger(nn.Module):
    def __init__(self, upscale):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Conv2d(3, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale))

    def forward(self, x):
        return self.layer(x)
"""


def segmentation(root):
    segmentation_data.folder(root, {f"p{i}": segmentation_data.squares(i) for i in range(7)})
    return "Segmenter", Options(
        task="semantic-segmentation", dataset="masks", input={"mean": [0.0] * 3, "std": [1] * 3}
    )


def detection(root):
    objects = {number: [(1, (4 * number, 6, 20, 30))] for number in range(1, 6)}
    detection_data.folder(root, objects=objects, said=detection_data.facts(objects))
    return "Detector", Options(task="object-detection", dataset="coco", partial=True)


def enlarging(root):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    (root / "Set5").mkdir(parents=True)
    for name, each in zip(("baby", "bird", "butterfly", "head", "woman"), pixels, strict=True):
        Image.fromarray(each).save(root / "Set5" / f"{name}.png")
    return "Enlarger", Options(task="super-resolution", dataset="set5", partial=True, config={"upscale": 2})


@pytest.fixture
def asked(tmp_path, environment, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    (tmp_path / "models.py").write_text(MODELS)

    made = {}

    def asked(make, base, **changes):
        """A job on a model and data of ``make``, whose findings are kept."""
        if make not in made:
            made[make] = make(tmp_path / "data")
        model, options = made[make]
        given = {"data": str(tmp_path / "data"), "predictions": str(tmp_path / base / "key"), **changes}
        settings = Settings(weights="own", threads=1)
        return Job("", f"{tmp_path / 'models.py'}:{model}", "", "accuracy", settings, options=replace(options, **given))

    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield asked
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:  # torch's launcher leaves its own behind
            signal.signal(number, handler)


def figures(job):
    return [(row.metric, row.value, row.low, row.high, row.samples, row.reason) for row in worker.run(job)]


@pytest.mark.processors
@pytest.mark.parametrize("make", [segmentation, detection, enlarging])
def test_two_processes_give_what_one_gives_and_go_on_from_the_parts_of_both(asked, tmp_path, make):
    expected = figures(asked(make, "one"))
    assert any(value for _, value, *_ in expected)
    one = whole_file(tmp_path / "one" / "key").read_bytes()
    head, *lines = one.splitlines(keepends=True)
    base = tmp_path / "two" / "key"
    base.parent.mkdir()
    part(base, 0).write_bytes(head + lines[2])
    part(base, 1).write_bytes(head + lines[0] + lines[1][:5])
    assert figures(asked(make, "two", devices=SHARED)) == expected
    assert whole_file(base).read_bytes() == one
    assert [path.name for path in base.parent.iterdir()] == ["key.jsonl"]


def test_processes_of_which_one_was_killed_go_on_to_the_same(asked, tmp_path, monkeypatch):
    expected = figures(asked(segmentation, "one"))
    shared, base = asked(segmentation, "two", devices=SHARED), tmp_path / "two" / "key"
    monkeypatch.setenv("KILLED", "1")
    [reason] = {reason for *_, reason in figures(shared)}
    assert reason.startswith("RuntimeError: process 1, on cpu, died: Signal 9 (SIGKILL)")
    kept = [part(base, rank).read_bytes().count(b"\n") - 1 for rank in range(2)]
    assert all(kept)
    assert sum(kept) < 7
    monkeypatch.delenv("KILLED")
    assert figures(shared) == expected
    assert whole_file(base).read_bytes() == whole_file(tmp_path / "one" / "key").read_bytes()


def test_an_error_in_one_process_is_one_sentence(asked, tmp_path):
    shared = asked(detection, "two", devices=SHARED)
    damaged = tmp_path / "data" / "val2017" / f"{2:012}.jpg"  # in the share of the second
    damaged.write_bytes(b"no picture")
    [reason] = {reason for *_, reason in figures(shared)}
    [alone] = {reason for *_, reason in figures(asked(detection, "one"))}
    assert reason == alone
    assert str(damaged) in reason


SHARE = """
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from claimbench.bench.core.records import read_job
from claimbench.bench.run import worker

rows = worker.run(read_job(json.loads(Path("job.json").read_text())))
Path(f"rows{os.environ['RANK']}.json").write_text(json.dumps([asdict(row) for row in rows]))
"""


def test_torchruns_processes_give_what_one_gives_and_the_first_has_it(asked, tmp_path):
    expected = [(metric, value, list(samples)) for metric, value, _, _, samples, _ in figures(asked(enlarging, "one"))]
    (tmp_path / "share.py").write_text(SHARE)
    (tmp_path / "job.json").write_text(json.dumps(asked(enlarging, "two", group="evaluation0").to_json()))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run([*launcher, "share.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rows{rank}.json").read_text()) for rank in range(2))
    assert [(row["metric"], row["value"], row["samples"]) for row in first] == expected
    assert {(row["status"], row["reason"]) for row in second} == {("unavailable", "the first process has it")}
    files = [whole_file(tmp_path / base / "key").read_bytes() for base in ("one", "two")]
    assert files[0] == files[1]


def test_jobs_go_to_other_processes_where_their_task_shares_them_and_there_is_something_to_share(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    posted = {}
    dispatch = Dispatch(tmp_path, SimpleNamespace(set=posted.__setitem__))

    def is_shared(task, **changes):
        options = {"task": task.name, "dataset": task.default, "data": "", **changes.pop("options", {})}
        job = Job("x", "y", "", "accuracy", Settings(weights="official", **changes), options=Options(**options))
        return bool(dispatch.prepare(job).options.group)

    shared = {task.name for task in tasks.known().values() if is_shared(task)}
    assert shared == {
        *("face-attributes", "human-parsing", "image-classification", "medical-segmentation", "object-detection"),
        *("semantic-segmentation", "super-resolution", "visual-tokenization"),
    }
    assert len(posted) == len(shared)
    assert not is_shared(tasks.get("super-resolution"), options={"data": None})
