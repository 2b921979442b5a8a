"""Scores of a network on a set of pictures: the same after a cut, and never mixed with another network's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from tests.bench.listening import progress

TASK = tasks.get("super-resolution")


class Nearest(nn.Module):
    """Repeats every pixel; stops working after some pictures."""

    def __init__(self, pictures=10**9):
        super().__init__()
        self.left, self.seen = pictures, 0

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("power cut")
        self.seen += 1
        return nn.functional.interpolate(x, scale_factor=4)


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    folder = tmp_path / "Set5"
    folder.mkdir()
    for name in ("baby", "bird", "butterfly", "head"):
        pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def subject(model):
    return Subject(model, (3, 8, 8), "nearest", torch.device("cpu"), torch.float32)


def job(data, **options):
    given = {"task": TASK.name, "dataset": "set5", "data": str(data), "partial": True, "config": {"upscale": 4}}
    return Job(
        "made-up", "nearest", "model", "accuracy", Settings(weights="official"), options=Options(**given, **options)
    )


def scores(model, asked):
    return {row.metric: (row.value, row.samples) for row in TASK.evaluate(subject(model), asked) if row.samples}


def test_what_was_seen_before_a_cut_is_not_looked_at_again(data, tmp_path):
    asked = job(data, predictions=str(tmp_path / "run"))
    whole = scores(Nearest(), job(data))
    assert np.isfinite(whole["bicubic_psnr_set5_x4"][1]).all()
    with pytest.raises(RuntimeError, match="power cut"):
        TASK.evaluate(subject(Nearest(pictures=2)), asked)
    assert progress(tmp_path / "run") == (2, 4, "job, pictures")
    model = Nearest()
    assert scores(model, asked) == whole
    assert model.seen == 2


def test_a_picture_without_a_difference_has_no_psnr_and_is_named(data, tmp_path):
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(data / "head.png")
    asked = job(data, predictions=str(tmp_path / "run"))
    for _ in range(2):  # as it is found, and as it is read back
        rows = {row.metric: row for row in TASK.evaluate(subject(Nearest()), asked)}
        psnr = rows["bicubic_psnr_set5_x4"]
        assert (psnr.value, psnr.status) == (None, "unavailable")
        assert psnr.reason.startswith("head came out without a difference")
        assert psnr.reason.endswith("say --partial to score the others")
        assert 0 < rows["bicubic_ssim_set5_x4"].value < 1


def test_scores_of_other_pictures_are_not_gone_on_with(data, tmp_path):
    asked = job(data, predictions=str(tmp_path / "run"))
    scores(Nearest(), asked)
    Image.fromarray(np.full((32, 32, 3), 10, np.uint8)).save(data / "head.png")
    model = Nearest()
    scores(model, asked)
    assert model.seen == 4
