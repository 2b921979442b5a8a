"""One training of a recommender: its folder, its start or continuation, its stop, and its outcome.

Only validation decides which epoch's weights are kept and when training ends; the test is looked at once, after that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.machine import environment
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import UserScores, draw
from claimbench.bench.tasks.sequential_recommendation.train.trainer import Trainer, TrainerRecipe
from claimbench.bench.training import checkpoint
from claimbench.bench.training.training_folder import CHECKPOINT, OUTCOME, TrainingFolder


@dataclass(frozen=True)
class Trainable:
    """A training to run.

    Attributes:
        identity: equal for trainings that differ in the seed only, JSON-ready: the paper, its variant and form, the
            data's digest. A folder's run is continued only if this has not changed.
        split: the data.
        recipe: of the training.
        build: makes the model with random weights.
        device: that it runs on.
    """

    identity: Mapping[str, Any]
    split: Split
    recipe: TrainerRecipe
    build: Callable[[], nn.Module]
    device: torch.device


@dataclass
class Course:
    """The progress of a training.

    Attributes:
        epoch: epochs done. ``seconds``, ``drawing``: their time, and the part of it that drew batches.
        best, best_epoch: the best validation NDCG@10 and its epoch.
        curve: of every validation: the epoch, the mean loss since the last, Hit@10 and NDCG@10.
        losses: of the epochs since the last validation.
    """

    epoch: int = 0
    seconds: float = 0.0
    drawing: float = 0.0
    best: float = -1.0
    best_epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def over(self, recipe: TrainerRecipe) -> bool:
        """Whether training ends here."""
        stale = self.best_epoch > 0 and self.epoch - self.best_epoch >= recipe.patience
        return stale or self.epoch >= recipe.epochs

    def validated(self, scored: UserScores) -> bool:
        """Take note of a validation, and return whether none before was as good."""
        mean = float(np.mean(self.losses))
        self.curve.append({"epoch": self.epoch, "loss": mean, "hit@10": scored.hit, "ndcg@10": scored.ndcg})
        self.losses = []
        better = scored.ndcg > self.best
        if better:
            self.best, self.best_epoch = scored.ndcg, self.epoch
        return better

    def sentence(self) -> str:
        """Return the last validation in words."""
        last = self.curve[-1]
        return (
            f"epoch {self.epoch}: loss {last['loss']:.4f}, validation Hit@10 {last['hit@10']:.4f}, "
            f"NDCG@10 {last['ndcg@10']:.4f} (best {self.best:.4f} after {self.best_epoch}), {self.seconds:.0f} s"
        )


def train(
    training: Trainable, seed: int, folder: Path, *, resume: bool, stop: Any, listener: Listener = SILENT
) -> dict[str, Any] | None:
    """Train with one seed, or go on with it, and return the outcome; None if it was asked to stop before.

    Args:
        training: the training.
        seed: of weights, batches, dropout, and of the users and negatives of the evaluations.
        folder: of this seed: its checkpoint and its outcome.
        resume: whether the folder's training is continued.
        stop: has ``requested``, looked at after every epoch.
        listener: told of every epoch.

    Raises:
        UserError: the folder holds another training, or one and ``resume`` is false; DivergedError: the loss is no
            number.
    """
    kept = TrainingFolder(folder, {**training.identity, "recipe": training.recipe.to_json(), "seed": seed})
    if not resume and (folder / OUTCOME).exists():
        raise UserError(f"{folder} holds a training that is done: take it over (--resume), or name another (--out)")
    if (found := kept.found()) is not None:
        return found
    if not resume and kept.checkpoint.exists():
        raise UserError(f"{folder} already holds a training: go on with it (--resume), or name another folder (--out)")
    torch.manual_seed(seed)
    trainer = Trainer(training.build(), training.split, training.recipe, seed, training.device)
    course, best = _begin(kept, trainer)
    validation = draw(training.split, "validation", seed)
    with listener.begin(f"seed {seed}", training.recipe.epochs, done=course.epoch) as part:
        while not course.over(training.recipe):
            if stop.requested:
                _save(kept, trainer, course, best)
                return None
            loss, seconds, drawing = trainer.epoch(course.epoch + 1)
            file = kept.checkpoint
            checkpoint.check_finite(loss, epoch=course.epoch, step=0, checkpoint=file if file.exists() else None)
            course.losses.append(loss)
            course.epoch += 1
            course.seconds += seconds
            course.drawing += drawing
            if course.epoch % training.recipe.every == 0 or course.epoch == training.recipe.epochs:
                scored = validation.sampled(trainer.score, training.recipe.maxlen)
                if course.validated(scored):
                    best = {name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()}
                _save(kept, trainer, course, best)
                listener.say(f"seed {seed}, {course.sentence()}")
            part.at(course.epoch)
    trainer.model.load_state_dict(best)
    found = {**_test(trainer, training, seed), "progress": asdict(course), **_circumstances(trainer, training)}
    kept.finish(found)
    return found


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights that validation chose in a folder of a training."""
    weights: dict[str, Tensor] = checkpoint.load(folder / CHECKPOINT)["best"]
    return weights


def _test(trainer: Trainer, training: Trainable, seed: int) -> dict[str, Any]:
    """Score the best weights: by the paper's protocol, without its draw of users, and against every item."""
    length = training.recipe.maxlen
    protocol = draw(training.split, "test", seed)
    everybody = draw(training.split, "test", seed, most=len(training.split.evaluated))
    return {
        "users": len(protocol.users),
        "sampled": _scores(protocol.sampled(trainer.score, length)),
        "users_all": len(everybody.users),
        "sampled_all": _scores(everybody.sampled(trainer.score, length)),
        "full": _scores(protocol.full(trainer.score, length)),
    }


def _scores(outcome: UserScores) -> dict[str, float]:
    return {"hit@10": outcome.hit, "ndcg@10": outcome.ndcg}


def _circumstances(trainer: Trainer, training: Trainable) -> dict[str, Any]:
    return {
        "commit": environment.commit(),
        "threads": torch.get_num_threads(),
        "device": str(training.device),
        "steps_an_epoch": trainer.batches.steps,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "environment": environment.capture(training.device.type),
    }


def _begin(folder: TrainingFolder, trainer: Trainer) -> tuple[Course, dict[str, Tensor]]:
    """Return the progress of a training and its best weights so far, after loading the rest into the trainer."""
    state = folder.kept()
    if state is None:
        return Course(), {}
    try:
        trainer.model.load_state_dict(state["model"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        return Course(**state["progress"]), state["best"]
    except (KeyError, TypeError, RuntimeError) as error:
        raise folder.foreign() from error


def _save(folder: TrainingFolder, trainer: Trainer, course: Course, best: dict[str, Tensor]) -> None:
    weights, optimizer = trainer.model.state_dict(), trainer.optimizer.state_dict()
    folder.keep({"progress": asdict(course), "model": weights, "optimizer": optimizer, "best": best})
