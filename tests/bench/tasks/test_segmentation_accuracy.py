"""The metric accuracy of a segmentation model: what it yields, what it refuses, and the stage after the network."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.papers import registry
from claimbench.bench.report import metrics
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.semantic_segmentation.evaluate import PROBE_SIDE
from tests.bench import segmentation_data as made
from tests.bench.listening import progress

TASK = tasks.get("semantic-segmentation")
PLAIN = {"mean": [0.0] * 3, "std": [1 / 255] * 3}


class Knowing(nn.Module):
    """Scores each class by how near a pixel's colour is to the class's."""

    def __init__(self, classes=3):
        super().__init__()
        self.colours = nn.Parameter(torch.from_numpy(made.COLOURS[:classes].astype(np.float32)))

    def forward(self, x):
        return -(x[:, None] - self.colours[None, :, :, None, None]).square().sum(2)


@pytest.fixture
def data(tmp_path):
    return made.folder(tmp_path, {f"p{i}": made.squares(i) for i in range(3)})


def job(data=None, weights="official", paper="", **options):
    given = {"data": str(data)} if data else {}
    settings = Settings(weights=weights)
    return Job(
        paper,
        "knowing",
        "model",
        "accuracy",
        settings,
        options=Options(**{"task": TASK.name, "dataset": "masks", "input": PLAIN, **given, **options}),
    )


def subject(classes=3):
    return Subject(Knowing(classes), (3, 40, 33), "knowing", torch.device("cpu"), torch.float32)


def stages(monkeypatch, **functions):
    """A paper, made-up, whose model.py has these functions."""
    monkeypatch.setattr(registry, "module", {"made-up": "made_up_paper"}.__getitem__)
    module = ModuleType("made_up_paper.model")
    for name, function in functions.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, "made_up_paper", ModuleType("made_up_paper"))
    monkeypatch.setitem(sys.modules, "made_up_paper.model", module)


def test_every_score_has_a_row_and_a_title(data):
    found = TASK.evaluate(subject(), job(data))
    assert (
        [row.metric for row in found]
        == [name for name, _ in TASK.expected("masks")]
        == [
            f"masks_{name}"
            for name in ("miou", "miou_crf", "trimap_miou", "trimap_miou_crf", "pixel_accuracy", "miou_ms")
        ]
    )
    values = {row.metric: row.value for row in found}
    assert values["masks_miou"] == values["masks_trimap_miou"] == values["masks_pixel_accuracy"] == 100
    assert values["masks_miou_crf"] is None
    assert metrics.row("masks_miou").title == "a folder of pictures and masks, mIoU"
    whole = found[0]
    assert whole.low == whole.high == 100
    assert read(whole).by_band_px["1"] == 100
    assert read(whole).per_class == {"class 0": 100, "class 1": 100, "class 2": 100}


def test_the_stage_after_the_network_is_the_papers(data, monkeypatch):
    seen = []

    def refine(config):
        seen.append(config)
        return lambda picture, probabilities: probabilities[[1, 0, 2]]

    def upsample(scores, size):
        seen.append(tuple(size))
        return scores

    stages(monkeypatch, refine=refine, upsample=upsample)
    found = TASK.evaluate(subject(), job(data, paper="made-up", config={"crf": 1}))
    values = {row.metric: row.value for row in found}
    assert values["masks_miou"] == 100
    assert values["masks_miou_crf"] < 50
    assert seen[0] == {"crf": 1}
    assert set(seen[1:]) == {(41, 33)}


@pytest.mark.parametrize(
    ("options", "words"), [({"weights": "random"}, "trained weights"), ({"data": None}, "needs the data set")]
)
def test_what_is_missing_is_said(data, options, words):
    with pytest.raises(UnavailableError, match=words):
        TASK.evaluate(subject(), job(**{"data": data, **options}))


def test_a_model_of_fewer_classes_meets_an_unknown_label(data):
    with pytest.raises(UserError, match=r"holds the unknown label 2: .* 0 to 1, 255"):
        TASK.evaluate(subject(2), job(data))


def test_a_limit_takes_pictures_spread_over_the_set(data):
    found = TASK.evaluate(subject(), job(data, limit=2))
    assert found[0].method == "2 of 3 pictures"


def checked(place, classes=3):
    """Check the data before anything is measured, for a user's own model of so many classes."""
    file = place / "own.py"
    file.write_text(
        "from tests.bench.tasks.test_segmentation_accuracy import Knowing\n\n\n"
        f"def build():\n    return Knowing({classes})\n"
    )
    mine = replace(job(place), subject=f"{file}:build")
    return TASK.check([mine], SILENT)


def test_the_check_reads_every_file(data):
    assert checked(data) == []
    (data / "masks" / "p1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"masks/p1\.png cannot be read"):
        checked(data)


def test_the_check_knows_how_many_classes_the_model_has(data):
    with pytest.raises(UserError, match=r"holds the unknown label 2: .* 0 to 1, 255"):
        checked(data, 2)


def test_a_classifier_has_no_map_of_scores(data):
    model = subject()
    model.model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(UnavailableError, match="no score for each class and position"):
        TASK.evaluate(model, job(data))


class Fragile(Knowing):
    """Knows, and stops working after some passes."""

    def __init__(self, passes=10**9):
        super().__init__()
        self.left, self.seen = passes, 0

    def forward(self, x):
        if x.shape[-1] != PROBE_SIDE:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("power cut")
            self.seen += len(x)
        return super().forward(x)


def fragile(passes=10**9):
    return Subject(Fragile(passes).eval(), (3, 40, 33), "fragile", torch.device("cpu"), torch.float32)


@pytest.fixture
def several(tmp_path):
    """Seven pictures, some of which are larger; class 2 is nowhere in most."""
    masks = {f"p{i}": made.squares(i, (40 + 8 * (i // 3), 33)) for i in range(7)}
    return made.folder(tmp_path / "several", masks)


@pytest.mark.processors
@pytest.mark.parametrize(("batch", "done"), [(1, 3), (2, 5)])
def test_what_was_seen_before_a_cut_is_not_looked_at_again(several, tmp_path, batch, done, monkeypatch):
    stages(monkeypatch, refine=lambda config: lambda picture, probabilities: probabilities[[1, 0, 2]])
    options = {"batch": batch, "paper": "made-up"}
    whole = TASK.evaluate(fragile(), job(several, **options))
    base = tmp_path / "predictions" / "run"
    asked = job(several, predictions=str(base), **options)
    with pytest.raises(RuntimeError, match="power cut"):
        TASK.evaluate(fragile(passes=3), asked)
    assert progress(base) == (done, 7, "job, pictures")
    resumed = fragile()
    found = TASK.evaluate(resumed, asked)
    assert resumed.model.seen == 7 - done
    for row, expected in zip(found, whole, strict=True):
        assert (row.value, row.low, row.high) == (expected.value, expected.low, expected.high)
    assert read(found[0]).predictions_file == "predictions/run.jsonl"
    lines = [json.loads(line) for line in (tmp_path / "predictions" / "run.jsonl").read_text().splitlines()]
    assert [line["picture"] for line in lines[1:]] == [f"images/p{i}.png" for i in range(7)]


@pytest.mark.parametrize("change", ["weights", "batch", "mask"])
def test_counts_of_another_evaluation_are_not_gone_on_with(several, tmp_path, change):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    options = {"predictions": str(tmp_path / "run"), "weights_file": str(weights), "batch": 1}
    TASK.evaluate(fragile(), job(several, **options))
    if change == "weights":
        weights.write_bytes(b"2")
    elif change == "mask":
        made.write(several / "masks" / "p3.png", np.full((48, 33), 1, np.uint8))
    again = fragile()
    TASK.evaluate(again, job(several, **(options | ({"batch": 2} if change == "batch" else {}))))
    assert again.model.seen == 7


class Labelling(nn.Module):
    """Labels every pixel 1, and looks at a picture once only."""

    classes, preprocessing, tested_shape = 3, {}, (3, 8, 8)

    def label(self, picture):
        return np.ones(picture.shape[:2], np.int64)


@pytest.mark.parametrize("model", [Labelling, Knowing])
def test_a_model_that_looks_once_says_so_where_several_sizes_are_asked_for(data, model):
    asked = subject()
    asked.model = model()
    rows = {row.metric: row for row in TASK.evaluate(asked, job(data, multi_scale=True))}
    assert rows["masks_miou"].status == "measured"
    assert rows["masks_miou_ms"].reason.startswith("no protocol says at which sizes this network")
