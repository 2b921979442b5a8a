"""Accuracy on a folder of coloured pictures that a tiny model tells apart."""

import hashlib
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.bits import unpacked
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.statistics import wilson
from claimbench.bench.core.task import Subject
from claimbench.bench.measure import accuracy
from claimbench.bench.measure.scoring.look import spread
from claimbench.bench.store.evidence.of_scores import ClassHits
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from claimbench.bench.tasks.image_classification.preprocessing import preprocessing_of

TASK = tasks.get("image-classification")
COLOURS = {"a_red": (255, 0, 0), "b_green": (0, 255, 0), "c_blue": (0, 0, 255)}
PREPROCESSING = {"size": 16, "crop_pct": 1.0, "interpolation": "bilinear", "mean": "none", "std": "none"}


class Brightest(nn.Module):
    """Ranks the three channels by brightness; further classes come last."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return nn.functional.pad(x.mean((2, 3)), (0, self.classes - 3), value=-1.0)


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Four pictures a class, one of the blue ones red."""
    for name, colour in COLOURS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            shown = COLOURS["a_red"] if (name, i) == ("c_blue", 3) else colour
            Image.new("RGB", (20, 24), shown).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def subject(classes=3, **more):
    return Subject(Brightest(classes), (3, 16, 16), "brightest", torch.device("cpu"), torch.float32, task=TASK, **more)


def job(folder, **more):
    options = {"dataset": "folder", "data": str(folder), "input": PREPROCESSING, **more.pop("options", {})}
    return Job("", "x", "", "accuracy", Settings(weights="official", **more), options=Options(**options))


def kept(path):
    """The predictions in a file: what was evaluated, then a line a picture."""
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    return head["evaluation"], lines


def test_scores_come_with_their_interval_their_classes_and_which_pictures_were_right(folder):
    top1, top5 = accuracy.measure(subject(), job(folder))
    assert (top1.metric, top1.value) == ("folder_top1", pytest.approx(100 * 11 / 12))
    low, high = wilson(11, 12)
    assert (top1.low, top1.high) == (100 * low, 100 * high)
    assert (read(top1).images, read(top1).images_in_set, read(top1).correct) == (12, 12, 11)
    assert read(top1).per_class == ClassHits(images=[4, 4, 4], correct=[4, 4, 3])
    assert unpacked(read(top1).right, 12).tolist() == [True] * 11 + [False]
    assert top5.status == "unavailable"
    assert "only 3 classes" in top5.reason
    json.dumps(top1.detail)


def test_every_prediction_is_kept_where_a_place_is_named(folder, tmp_path):
    base = tmp_path / "out" / "key"
    top1, _ = accuracy.measure(subject(), job(folder, options={"predictions": str(base)}))
    what, lines = kept(base.with_name("key.jsonl"))
    assert (what["dataset"], what["chosen"], len(lines)) == ("folder", 12, 12)
    assert (lines[-1]["file"], lines[-1]["label"], lines[-1]["top"][0]) == ("c_blue/3.png", 2, 0)
    data = base.with_name("key.jsonl").read_bytes()
    assert read(top1).predictions_sha256 == hashlib.sha256(data).hexdigest()
    assert [path.name for path in base.parent.iterdir()] == ["key.jsonl"]


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (5, 1), (64, 2)])
def test_the_result_does_not_depend_on_batch_or_workers(folder, tmp_path, batch, workers):
    base = tmp_path / "out" / "key"
    first = accuracy.measure(subject(), job(folder, options={"predictions": str(base)}))
    lines = kept(base.with_name("key.jsonl"))[1]
    other = tmp_path / "other" / "key"
    options = {"predictions": str(other), "batch": batch, "workers": workers}
    assert accuracy.measure(subject(), job(folder, options=options))[0].value == first[0].value
    assert kept(other.with_name("key.jsonl"))[1] == lines


def test_a_limit_spreads_over_all_classes(folder):
    top1, _ = accuracy.measure(subject(), job(folder, options={"limit": 3}))
    assert read(top1).per_class.images == [1, 1, 1]
    assert "3 images spread evenly over 12" in top1.method
    assert spread(10, None) == list(range(10))
    assert spread(10, 4) == [0, 2, 5, 7]


def test_five_classes_give_a_top5(folder):
    for name, colour in (("d", "black"), ("e", "white")):
        (folder / name).mkdir()
        Image.new("RGB", (20, 24), colour).save(folder / name / "0.png")
    top1, top5 = accuracy.measure(subject(5), job(folder))
    assert top5.value == 100
    assert top1.value < 100


def test_without_data_or_weights_the_row_says_what_it_needs(folder):
    with pytest.raises(UnavailableError, match="--data"):
        accuracy.measure(subject(), job(""))
    random = Job("", "x", "", "accuracy", Settings(), options=Options(data=str(folder)))
    with pytest.raises(UnavailableError, match="needs official weights"):
        accuracy.measure(subject(), random)


def test_wrong_folders_are_explained(folder, tmp_path):
    with pytest.raises(UserError, match="absent does not exist"):
        accuracy.measure(subject(), job(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        accuracy.measure(subject(), job(tmp_path / "empty"))
    with pytest.raises(UserError, match="has 3 classes and the model x 7"):
        accuracy.measure(subject(7), job(folder))


def test_the_papers_preprocessing_is_used_and_else_timms():
    shape = (3, 16, 16)
    given = preprocessing_of(shape, {"crop_pct": 0.9, "mean": [0.1, 0.2, 0.3], "std": "inception"}, None)
    assert given["crop_pct"] == 0.9
    assert given["mean"] == (0.1, 0.2, 0.3)
    assert given["std"] == (0.5, 0.5, 0.5)
    assert given["interpolation"] == "bicubic"
    own = preprocessing_of(shape, None, {"crop_pct": 0.95, "interpolation": "bilinear"})
    assert (own["crop_pct"], own["interpolation"]) == (0.95, "bilinear")
    assert preprocessing_of(shape, {}, None, DATASETS["cifar10"])["crop_pct"] == 1.0
    assert preprocessing_of((3, 224, 224), {"crop_pct": 0.9}, None, DATASETS["imagenet-c"])["crop_pct"] == 1.0
    assert preprocessing_of((1, 28, 28), {"mean": "none"}, None)["mean"] == (0.0,)


def test_preprocessing_that_cannot_be_is_explained():
    with pytest.raises(UserError, match="unknown normalisation 'imagenette'"):
        preprocessing_of((3, 8, 8), {"mean": "imagenette"}, None)
    with pytest.raises(UserError, match="unknown interpolation 'bicubik'; did you mean bicubic"):
        preprocessing_of((3, 8, 8), {"interpolation": "bicubik"}, None)
    with pytest.raises(UserError, match="2 numbers does not fit 3 channels"):
        preprocessing_of((3, 8, 8), {"std": [1, 2]}, None)
    with pytest.raises(UnavailableError, match=r"the model takes \[4, 32, 32\]"):
        preprocessing_of((4, 32, 32), {}, None)


def test_preprocessing_reaches_the_model(folder):
    seen = []

    class Looks(Brightest):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    looking = Subject(Looks(), (3, 16, 16), "looks", torch.device("cpu"), torch.float32, task=TASK)
    accuracy.measure(
        looking, job(folder, options={"input": {**PREPROCESSING, "mean": "inception", "std": "inception"}})
    )
    assert seen[1].shape == (12, 3, 16, 16)
    assert seen[1][0, :, 8, 8].tolist() == [1.0, -1.0, -1.0]


def test_the_weights_file_is_evidence(folder, tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    top1, _ = accuracy.measure(subject(), job(folder, options={"weights_file": str(tmp_path / "w.safetensors")}))
    assert read(top1).weights == "w.safetensors"
    assert len(read(top1).weights_sha256) == 64
