"""One training: its schedule, its checkpoint, what it watches."""

from dataclasses import replace

import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.training import checkpoint
from claimbench.bench.training.study.setting import Setting, setting
from claimbench.bench.training.study.study_task import StudyTask, make_job
from claimbench.bench.training.study.training import Training


@pytest.fixture
def task(fake_papers, tmp_path):
    """A training of the fake block on the digits."""
    return make_task(tmp_path, "block", 0)


def make_task(folder, arm, seed, epochs=2):
    how = setting("quick", "digits", epochs)
    hidden = tuple(2 * dim for dim in how.dims)
    where = {"hidden": hidden, "device": "cpu", "threads": 1}
    return StudyTask(make_job("fake", "fake", arm, seed, how, **where), "cpu", "", str(folder / f"{arm}-{seed}.pt"))


def test_a_setting_survives_as_plain_data():
    how = setting("default", "elpv", 7)
    assert Setting.from_json(how.to_json()) == how
    assert how.epochs == 7


def test_the_rate_rises_then_falls_to_zero(task):
    training = Training(task)
    total = training.steps * 2
    rates = [training._learning_rate(step) for step in range(total)]
    top = rates.index(max(rates))
    assert max(rates) == task.setting.learning_rate
    assert top == round(0.1 * total) - 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.01 * max(rates)


def test_both_arms_of_a_seed_see_the_same_pictures_and_other_seeds_others(fake_papers, tmp_path):
    block, counterpart, other = (
        Training(make_task(tmp_path, arm, seed)) for arm, seed in (("block", 0), ("counterpart", 0), ("block", 1))
    )
    assert torch.equal(block.train.images, counterpart.train.images)
    assert torch.equal(block.validation.labels, counterpart.validation.labels)
    assert not torch.equal(block.train.images, other.train.images)
    seen = {image.numpy().tobytes() for image in block.train.images}
    assert len(block.train) + len(block.validation) == 1347
    assert sum(image.numpy().tobytes() in seen for image in block.validation.images) < 5  # digits has a few twins


def test_only_matrices_and_kernels_decay(task):
    training = Training(task)
    decayed, kept = training.optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (task.setting.weight_decay, 0.0)
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert any(p is training.model.position for p in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(list(training.model.parameters()))


def test_a_training_ends_with_every_row_and_learns(task):
    told = []
    rows = {row.metric: row for row in Training(task).run(told.append)}
    assert set(rows) == {"study_accuracy", "study_training_time", "study_memory"}
    assert [event["epoch"] for event in told] == [1, 2]
    assert rows["study_accuracy"].value > 30
    assert read(rows["study_accuracy"]).pictures == 450
    assert rows["study_memory"].value > 0


@pytest.mark.processors
def test_the_last_checkpoint_gives_the_same_rows_again(task):
    first, again = (Training(task).run(lambda event: None)[0] for _ in range(2))
    assert again == first


def test_a_checkpoint_of_another_training_is_refused(task):
    checkpoint.save(task.checkpoint, {"key": "other"})
    with pytest.raises(UserError, match="belongs to another training"):
        Training(task)


def test_weights_that_the_last_step_spoilt_do_not_become_a_checkpoint(task, monkeypatch):
    training = Training(task)
    good = training._train_epoch

    def spoilt():
        loss = good()
        if training.epoch == 1:
            training.model.head.bias.data[0] = torch.inf
        return loss

    monkeypatch.setattr(training, "_train_epoch", spoilt)
    with pytest.raises(checkpoint.DivergedError, match=r"epoch 2 of 2, step 35 of 35.*checkpoint after epoch 1"):
        training.run(lambda event: None)
    kept = checkpoint.load(task.checkpoint)
    assert kept["epoch"] == 1
    assert all(weights.isfinite().all() for weights in kept["model"].values())


def test_half_precision_is_autocast_and_weights_stay_whole(task):
    job = replace(task.job, settings=replace(task.job.settings, precision="bf16"))
    training = Training(replace(task, job=job))
    seen = []
    training.model.stages[0].mlp[0].register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    assert training._forward(torch.randn(2, 1, 8, 8)).dtype == torch.float32
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


class Cut(Exception):
    """Stands for a kill between two epochs."""


@pytest.mark.processors
def test_a_training_that_was_cut_off_ends_with_the_same_weights_to_the_last_bit(fake_papers, tmp_path):
    def cut(event):
        raise Cut

    whole = Training(make_task(tmp_path / "whole", "block", 3, epochs=3)).run(lambda event: None)[0]
    task = make_task(tmp_path / "cut", "block", 3, epochs=3)
    for _ in range(2):
        with pytest.raises(Cut):
            Training(task).run(cut)
    resumed = Training(task).run(lambda event: None)[0]
    assert resumed.value == whole.value
    assert read(resumed).weights == read(whole).weights
    assert read(resumed).right == read(whole).right
