"""Training learns, can be cut off anywhere without a trace, and stores what its seeds found."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.store.store import Store
from claimbench.bench.tasks.sequential_recommendation import score
from claimbench.bench.tasks.sequential_recommendation.data.interactions import from_pairs
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import generator
from claimbench.bench.tasks.sequential_recommendation.train import session
from claimbench.bench.tasks.sequential_recommendation.train.seeds import interval
from claimbench.bench.tasks.sequential_recommendation.train.session import Course, Trainable
from claimbench.bench.tasks.sequential_recommendation.train.trainer import Batches, TrainerRecipe
from claimbench.reproductions.sasrec.model import build

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS, STEP = 120, 7
CONFIG = {"items": ITEMS, "maxlen": 8, "hidden_units": 16, "num_blocks": 1, "dropout_rate": 0.1}
GO, HALT = SimpleNamespace(requested=False), SimpleNamespace(requested=True)


def chains(users=60, length=9):
    """Users who walk through the items in steps of seven."""
    walks = [(start * 5 + STEP * np.arange(length)) % ITEMS + 1 for start in range(users)]
    return np.repeat(np.arange(1, users + 1), length), np.concatenate(walks)


@pytest.fixture
def trainable():
    def make(form="paper", **recipe):
        users, items = chains()
        _, items = np.unique(items, return_inverse=True)
        split = Split(from_pairs("chains", users, items + 1))
        config = {**CONFIG, "items": split.data.items}
        values = {"batch": 20, "epochs": 4, "every": 2, "lr": 0.01, **recipe}
        return Trainable(
            {"paper": "p"}, split, TrainerRecipe(8, **values), lambda: build(config, form), torch.device("cpu")
        )

    return make


def run(trainable, folder, seed=0, resume=False, stop=GO, listener=SILENT):
    return session.train(trainable, seed, folder, resume=resume, stop=stop, listener=listener)


def test_batches_are_whole_and_follow_from_the_seed(trainable):
    batches = Batches(trainable().split, trainable().recipe)
    first, again, other = (batches.epoch(generator(*numbers)) for numbers in ((0, 0, 1), (0, 0, 1), (0, 0, 2)))
    assert len(first) == 3
    assert all((a == b).all() for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))
    inputs, positives, negatives = first[0]
    assert inputs.shape == (20, 8)
    assert ((inputs > 0) == (positives > 0)).all()
    assert ((inputs > 0) == (negatives > 0)).all()
    assert (positives[:, :-1][inputs[:, :-1] > 0] == inputs[:, 1:][inputs[:, :-1] > 0]).all()


@pytest.mark.parametrize("form", ["paper", "prenorm"])
def test_learns_a_pattern(trainable, tmp_path, form):
    found = run(trainable(form, epochs=60, every=20, patience=200), tmp_path)
    assert found["sampled"]["ndcg@10"] > 0.3
    assert found["full"]["hit@10"] > 0.4
    losses = [point["loss"] for point in found["progress"]["curve"]]
    assert losses[-1] < losses[0] / 1.5


@pytest.mark.processors
def test_training_that_was_cut_off_ends_with_the_same_weights(trainable, tmp_path):
    whole = run(trainable(), tmp_path / "whole")
    stop = SimpleNamespace(requested=False)

    class Stopping(Listener):
        def at(self, done, total=None, what=""):
            stop.requested = done == 3  # one epoch after a checkpoint

    assert run(trainable(), tmp_path / "cut", stop=stop, listener=Stopping()) is None
    resumed = run(trainable(), tmp_path / "cut", resume=True)
    assert resumed["sampled"] == whole["sampled"]
    assert resumed["progress"]["curve"] == whole["progress"]["curve"]
    first, second = (session.best_weights(tmp_path / name) for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_seeds_differ(trainable, tmp_path):
    found = [run(trainable(), tmp_path / str(seed), seed)["progress"]["curve"] for seed in (0, 1)]
    assert found[0] != found[1]


def test_ends_when_validation_stands_still(trainable, tmp_path):
    found = run(trainable(lr=1e-12, epochs=100, every=1, patience=3), tmp_path)
    progress = found["progress"]
    assert progress["epoch"] == progress["best_epoch"] + 3
    assert not Course(epoch=9, best_epoch=5).over(TrainerRecipe(8, patience=5))
    assert Course(epoch=10, best_epoch=5).over(TrainerRecipe(8, patience=5))


def test_the_test_part_plays_no_part_in_the_choice(trainable, tmp_path, monkeypatch):
    asked = []
    original = score.draw
    monkeypatch.setattr(
        session, "draw", lambda split, part, *rest, **more: asked.append(part) or original(split, part, *rest, **more)
    )

    class Epochs(Listener):
        def at(self, done, total=None, what=""):
            asked.append(done)

    run(trainable(), tmp_path, listener=Epochs())
    assert asked == ["validation", 1, 2, 3, 4, "test", "test"]


def test_a_folder_of_another_training_is_refused(trainable, tmp_path):
    run(trainable(), tmp_path)
    with pytest.raises(UserError, match="is done"):
        run(trainable(), tmp_path)
    with pytest.raises(UserError, match="its recipe is"):
        run(trainable(lr=0.5), tmp_path, resume=True)
    (tmp_path / session.OUTCOME).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        run(trainable(), tmp_path, resume=True)
    (tmp_path / session.OUTCOME).unlink()
    with pytest.raises(UserError, match="already holds a training"):
        run(trainable(), tmp_path)
    assert run(trainable(), tmp_path, resume=True, stop=HALT) is not None  # all epochs were done


def test_a_loss_that_is_no_number_ends_training(trainable, tmp_path):
    with pytest.raises(UserError, match="the loss became"):
        run(trainable(lr=1e30, epochs=50), tmp_path)


def test_the_interval_of_three_seeds_is_students():
    low, high = interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert interval([1.0]) == (None, None)


# The command


@pytest.fixture
def pairs(tmp_path):
    users, items = chains()
    _, items = np.unique(items, return_inverse=True)
    path = tmp_path / "own.txt"
    path.write_text("".join(f"{user} {item + 1}\n" for user, item in zip(users, items, strict=True)))
    return path


def test_trains_stores_and_measures_from_the_shell(bench, pairs, tmp_path):
    data = ("--paper", "sasrec", "--variant", "sasrec_games", "--dataset", "pairs", "--data", pairs)
    trained = bench("train", *data, "--seeds", "2", "--epochs", "5", "--batch", "20", "--json")
    assert trained.returncode == 0, trained.stderr
    rows = {row["metric"]: row for row in json.loads(trained.stdout)["rows"]}
    stored = {r.measurement.metric: r for r in Store(tmp_path / "results").query(paper="sasrec")}
    assert set(rows) == set(stored) == {f"pairs_{name}@10" for name in ("hit", "ndcg", "full_hit", "full_ndcg")}
    record = stored["pairs_hit@10"]
    seeds = read(record.measurement).seeds
    assert record.measurement.value == pytest.approx(np.mean([seed.sampled["hit@10"] for seed in seeds]))
    assert [seed.epochs for seed in seeds] == [5, 5]
    assert not Store(tmp_path / "results").problems
    weights = tmp_path / "trained" / "sasrec_games-pairs" / "seed-0" / "best.safetensors"
    asked = ("--form", "paper", "--metrics", "accuracy", "--weights", weights, "--no-store", "--json", "-")
    measured = bench("run", *data, *asked)
    assert measured.returncode == 0, measured.stderr
    found = {row["metric"]: row["value"] for report in json.loads(measured.stdout)["reports"] for row in report["rows"]}
    assert found["pairs_full_hit@10"] == pytest.approx(seeds[0].full["hit@10"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fsdp", "--classes", "3"), "training for sequential recommendation takes no --classes, --fsdp"),
        (("--dataset", "amazon-game"), "unknown data set 'amazon-game'; did you mean amazon-games or"),
        (("--variant", "sasrec_game"), "unknown variant 'sasrec_game'"),
        (("--data", "absent.txt"), "--data absent.txt does not exist"),
        (("--dataset", "steam"), "bench train --dataset steam needs the data set Steam: give the authors'"),
        (("--dataset", "pairs", "--data", "own.txt", "--seed", "1", "--seeds", "2"), "give --seed or --seeds"),
        (("--data", "own.txt"), "own.txt is not Amazon Games"),
        (("--dataset", "pairs", "--data", "own.txt", "--batch", "1000000"), "--batch 1,000,000 is more than the"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_in_a_sentence(bench, pairs, arguments, words):
    arguments = (*arguments, "--data", "own.txt") if "sasrec_game" in arguments or "--fsdp" in arguments else arguments
    found = bench("train", "--paper", "sasrec", *arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert words in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_dry_run_says_what_would_be_trained(bench, pairs):
    found = bench("train", "--paper", "sasrec", "--dataset", "pairs", "--data", pairs, "--dry-run", "--json")
    plan = json.loads(found.stdout)
    assert (plan["variant"], plan["form"], plan["seeds"]) == ("sasrec_ml1m", "paper", [0, 1, 2])
    assert plan["recipe"]["patience"] == 20
    assert plan["config"]["items"] == 120 or plan["config"]["items"] < 120


def test_a_loss_that_is_no_number_names_no_checkpoint_that_is_not_there(trainable, tmp_path):
    with pytest.raises(UserError, match=r"became nan in epoch 0, .*no checkpoint was written before"):
        run(trainable(lr=1e30), tmp_path)
