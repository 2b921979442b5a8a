"""Accuracy on a folder of coloured pictures that a tiny model tells apart."""

import hashlib
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from bench.errors import UserError
from bench.measure import UnavailableError, accuracy
from bench.measure.subject import Subject
from bench.records import Job, Settings
from bench.statistics import wilson

COLOURS = {"a_red": (255, 0, 0), "b_green": (0, 255, 0), "c_blue": (0, 0, 255)}
PREPROCESSING = {"size": 16, "crop_pct": 1.0, "interpolation": "bilinear", "mean": "none", "std": "none"}


class Brightest(nn.Module):
    """Ranks the three channels by brightness; further classes come last."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return nn.functional.pad(x.mean((2, 3)), (0, self.classes - 3), value=-1.0)


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
    return Subject(Brightest(classes), (3, 16, 16), "brightest", torch.device("cpu"), torch.float32, **more)


def job(folder, **more):
    options = {"data": str(folder), "input": PREPROCESSING, **more.pop("options", {})}
    return Job("", "x", "", "accuracy", Settings(weights="official", **more), options=options)


def test_scores_come_with_their_interval_and_every_prediction(folder):
    top1, top5 = accuracy.measure(subject(), job(folder))
    assert top1.value == pytest.approx(100 * 11 / 12)
    low, high = wilson(11, 12)
    assert (top1.low, top1.high) == (100 * low, 100 * high)
    assert top1.detail["labels"] == [0] * 4 + [1] * 4 + [2] * 4
    assert top1.detail["predictions"] == [0] * 4 + [1] * 4 + [2] * 3 + [0]
    assert top1.detail["images"] == top1.detail["images_in_folder"] == 12
    assert top5.status == "unavailable"
    assert "only 3 classes" in top5.reason
    json.dumps(top1.detail)


def test_predictions_go_to_a_file_where_one_is_named(folder, tmp_path):
    path = tmp_path / "out" / "predictions.jsonl"
    top1, _ = accuracy.measure(subject(), job(folder, options={"predictions": str(path)}))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 12
    assert (lines[-1]["file"], lines[-1]["label"], lines[-1]["top"][0]) == ("c_blue/3.png", 2, 0)
    assert top1.detail["predictions_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "predictions" not in top1.detail


def test_a_limit_spreads_over_all_classes(folder):
    top1, _ = accuracy.measure(subject(), job(folder, options={"limit": 3}))
    assert top1.detail["labels"] == [0, 1, 2]
    assert "3 images spread evenly" in top1.method
    assert accuracy.spread(10, None) == list(range(10))
    assert accuracy.spread(10, 4) == [0, 2, 5, 7]


def test_five_classes_give_a_top5(folder):
    for name in ("d", "e"):
        (folder / name).mkdir()
        Image.new("RGB", (20, 24)).save(folder / name / "0.png")
    top1, top5 = accuracy.measure(subject(5), job(folder))
    assert top5.value == 100
    assert top1.value < 100


def test_without_data_or_weights_the_row_says_what_it_needs(folder):
    with pytest.raises(UnavailableError, match="--data"):
        accuracy.measure(subject(), job(""))
    random = Job("", "x", "", "accuracy", Settings(), options={"data": str(folder)})
    with pytest.raises(UnavailableError, match="needs official weights"):
        accuracy.measure(subject(), random)


def test_wrong_folders_are_explained(folder, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        accuracy.measure(subject(), job(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        accuracy.measure(subject(), job(tmp_path / "empty"))
    with pytest.raises(UserError, match="has 3 classes and the model 7"):
        accuracy.measure(subject(7), job(folder))


def test_the_papers_preprocessing_is_used_and_else_timms():
    given = accuracy.preprocessing_of(subject(), {"crop_pct": 0.9, "mean": [0.1, 0.2, 0.3], "std": "inception"})
    assert given["crop_pct"] == 0.9
    assert given["mean"] == (0.1, 0.2, 0.3)
    assert given["std"] == (0.5, 0.5, 0.5)
    assert given["interpolation"] == "bicubic"
    own = accuracy.preprocessing_of(subject(config={"crop_pct": 0.95, "interpolation": "bilinear"}), None)
    assert (own["crop_pct"], own["interpolation"]) == (0.95, "bilinear")
    with pytest.raises(UserError, match="unknown normalisation 'imagenette'"):
        accuracy.preprocessing_of(subject(), {"mean": "imagenette"})


def test_preprocessing_reaches_the_model(folder):
    seen = []

    class Looks(Brightest):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    looking = Subject(Looks(), (3, 16, 16), "looks", torch.device("cpu"), torch.float32)
    accuracy.measure(
        looking, job(folder, options={"input": {**PREPROCESSING, "mean": "inception", "std": "inception"}})
    )
    assert seen[0].shape == (12, 3, 16, 16)
    assert seen[0][0, :, 8, 8].tolist() == [1.0, -1.0, -1.0]


def test_the_weights_file_is_evidence(folder, tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    top1, _ = accuracy.measure(subject(), job(folder, options={"weights_file": str(tmp_path / "w.safetensors")}))
    assert top1.detail["weights"] == "w.safetensors"
    assert len(top1.detail["weights_sha256"]) == 64
