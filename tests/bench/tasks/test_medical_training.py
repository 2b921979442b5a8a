"""The study of a paper's small segmenters: trained on slabs, resumed, and left for the claims."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.data.volumes import packaged_volumes
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED, LabelledVolume
from claimbench.bench.machine.process import Stop
from claimbench.bench.tasks.medical_segmentation.train import command
from claimbench.bench.tasks.medical_segmentation.train.session import SmallNetwork, StudyRecipe, train
from claimbench.bench.tasks.medical_segmentation.train.slab_data import read
from claimbench.bench.training import for_claims

TASK = tasks.get("medical-segmentation")


class Pixels(nn.Module):
    """Tells classes by intensity alone."""

    def __init__(self, channels, classes, conv=nn.Conv2d):
        super().__init__()
        self.layers = nn.Sequential(conv(channels, 16, 1), nn.ReLU(), conv(16, classes, 1))

    def forward(self, x):
        return self.layers(x)


SLICED, VOLUMES = (
    SmallNetwork("pixels", Pixels),
    SmallNetwork("voxels", lambda i, o: Pixels(i, o, nn.Conv3d), volumes=True),
)


@pytest.fixture
def head(monkeypatch):
    """The volume of two bright structures that stands for a head."""
    labels = np.zeros((170, 80, 44), np.uint8)
    labels[:, 40:60, 4:40], labels[:, 64:80, 4:40] = 1, 2
    volume = LabelledVolume(labels.astype(np.float32) * 50, labels, (1.0, 1.0, 2.0))
    slabs = PACKAGED["brain-structures"].slabs
    monkeypatch.setitem(PACKAGED, "brain-structures", packaged_volumes.PackagedVolume(lambda _: volume, 2, slabs))
    return volume


def run(arm, data, seed=0, recipe=StudyRecipe(epochs=30, lr=0.05)):  # noqa: B008
    with Stop() as stop:
        return train(arm, data, recipe, seed, torch.device("cpu"), stop, SILENT)


def test_slabs_are_halved_and_cut_to_where_the_structures_are(head):
    data = read("brain-structures", None)
    values, labels = data.slices(data.parts["train"])
    assert values.shape == (28, 1, 32, 32)
    assert labels.shape == (28, 32, 32)
    assert data.blocks(data.parts["test"])[0].shape == (3, 1, 4, 32, 32)
    slab = data.parts["test"][0]
    assert (slab.name, slab.labels.shape, slab.spacing) == ("slices 59 to 62", (4, 64, 32), (1, 2, 4))
    assert values.max() == 1
    np.testing.assert_array_equal(slab.labels[0, :40, :22], head.labels[59, ::2, ::2])
    assert not slab.labels[:, 40:].any()
    assert (data.window.top, data.window.bottom) == (14, 46)
    assert data.window.of(slab.labels).sum() == slab.labels.sum()


def test_only_training_slabs_choose_the_window(head):
    before = read("brain-structures", None).window
    head.labels[59:63, :2] = 1
    data = read("brain-structures", None)
    assert data.window == before
    found = run(SLICED, data)["test"]["slices 59 to 62"]
    assert found[0]["dsc"] < 100, "what the window does not show counts as missed"


@pytest.mark.parametrize("arm", [SLICED, VOLUMES])
def test_what_can_be_learned_is_learned_and_the_same_again(head, arm):
    data = read("brain-structures", None)
    found = run(arm, data)
    assert list(found["test"]) == ["slices 59 to 62", "slices 91 to 94", "slices 123 to 126"]
    assert min(each["dsc"] for slab in found["test"].values() for each in slab) > 95
    assert run(arm, data)["test"] == found["test"]


def test_nothing_is_learned_from_shuffled_labels(head):
    data = read("brain-structures", None)
    generator = torch.Generator().manual_seed(0)
    for slab in data.parts["train"]:
        mixed = slab.labels.flatten()[torch.randperm(slab.labels.numel(), generator=generator)]
        slab.labels.copy_(mixed.view_as(slab.labels))
    assert run(SLICED, data)["validation"] < 60


def test_training_sees_no_slab_of_another_part(head):
    data = read("brain-structures", None)
    before = run(SLICED, data)["loss"]
    for part in ("val", "test"):
        for slab in data.parts[part]:
            slab.values.zero_()
    assert run(SLICED, data)["loss"] == before


@pytest.fixture
def study(monkeypatch, head):
    """The study of a paper with two networks, and the seeds that were trained."""
    trained = []

    def build(channels, classes):
        trained.append(torch.initial_seed())
        return Pixels(channels, classes)

    monkeypatch.setattr(
        command, "arms_of", lambda paper: (SmallNetwork("one", build), SmallNetwork("two", build, F.cross_entropy))
    )
    return trained


def request(tmp_path, **options):
    return TrainRequest(paper="msga", out=tmp_path / "out", epochs=1, seeds=(3, 4), **options)


def test_a_study_leaves_every_outcome_for_the_claims(study, tmp_path, capsys):
    assert TASK.train(request(tmp_path)) == 0
    assert study == [3, 3, 4, 4]
    (left,) = for_claims.read(tmp_path, "msga")
    assert left.dataset == "brain-structures"
    assert [(found["arm"], found["seed"]) for found in left.figures["outcomes"]] == [
        *(("one", 3), ("two", 3)),
        *(("one", 4), ("two", 4)),
    ]
    assert "spreads are over slabs and seeds, never over subjects" in capsys.readouterr().out


def test_a_study_is_resumed_and_never_mixed_with_another(study, tmp_path, capsys):
    TASK.train(request(tmp_path))
    (tmp_path / "out" / "two-4" / "outcome.json").unlink()
    assert TASK.train(request(tmp_path, resume=True)) == 0
    assert study == [3, 3, 4, 4, 4]
    with pytest.raises(UserError, match="its recipe is"):
        TASK.train(request(tmp_path, resume=True, lr=0.1))


def test_one_network_can_be_trained_alone(study, tmp_path, capsys):
    assert TASK.train(request(tmp_path, variant="two", json=True)) == 0
    assert [found["arm"] for found in json.loads(capsys.readouterr().out)["outcomes"]] == ["two", "two"]


def test_a_dry_run_says_which_slabs_are_what(study, tmp_path, capsys):
    assert TASK.train(request(tmp_path, dry_run=True, json=True)) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["networks"], plan["seeds"], plan["recipe"]["epochs"]) == (["one", "two"], [3, 4], 1)
    assert plan["train"][0] == "slices 35 to 38"
    assert not study


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "chaos"}, "unknown data set of a study 'chaos'"),
        ({"variant": "three"}, "unknown network of the study 'three'"),
        ({"precision": "bf16"}, "training for medical segmentation takes no --precision"),
        ({"seed": 1}, "give --seed or --seeds"),
        ({"batch": 99}, "a batch of 99 is more than the 28 training slices"),
    ],
)
def test_wrong_requests_are_sentences(study, tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        TASK.train(request(tmp_path, **options))


def test_the_networks_of_a_paper_come_from_its_own_file():
    arms = {arm.name: arm for arm in command.arms_of("msga")}
    assert {"daf", "guided", "unet"} <= arms.keys()
    assert arms["unet"].build(1, 3)(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)
    with pytest.raises(UserError, match="sasrec has no small networks"):
        command.arms_of("sasrec")
