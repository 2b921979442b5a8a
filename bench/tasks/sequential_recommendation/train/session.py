"""One training of a recommender: its folder, what it goes on from, when it stops, and what it found.

Only validation decides which epoch's weights are kept and when training ends; the test is looked at once, after that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine import environment
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import Outcome, draw
from claimbench.bench.tasks.sequential_recommendation.train.trainer import Recipe, Trainer
from claimbench.bench.training import checkpoint

CHECKPOINT, OUTCOME = "checkpoint.pt", "outcome.json"


@dataclass(frozen=True)
class Wish:
    """What to train.

    Attributes:
        identity: what makes two trainings the same but for their seed, JSON-ready: the paper, its variant and form, the
            data's digest. A folder's run is gone on with only where this has not changed.
        split: the data.
        recipe: how.
        build: makes the model with random weights.
        device: where.
    """

    identity: Mapping[str, Any]
    split: Split
    recipe: Recipe
    build: Callable[[], nn.Module]
    device: torch.device


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs done. ``seconds``, ``drawing``: what they took, and the part of it that drew batches.
        best, best_epoch: the best validation NDCG@10 and when it was.
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

    def over(self, recipe: Recipe) -> bool:
        """Whether training ends here."""
        stale = self.best_epoch > 0 and self.epoch - self.best_epoch >= recipe.patience
        return stale or self.epoch >= recipe.epochs


Teller = Callable[[int, Progress], None]
"""Called with the seed and how far its training is after every epoch."""


def train(wish: Wish, seed: int, folder: Path, *, resume: bool, stop: Any, tell: Teller) -> dict[str, Any] | None:
    """Train with one seed, or go on with it, and return what was found; None where it was asked to stop before.

    Args:
        wish: what to train.
        seed: of weights, batches, dropout, and of the users and negatives of the evaluations.
        folder: of this seed: its checkpoint and its outcome.
        resume: whether what the folder holds is gone on with.
        stop: has ``requested``, looked at after every epoch.
        tell: told of every epoch.

    Raises:
        UserError: the folder holds another training, or one and ``resume`` is false; DivergedError: the loss is no
            number.
    """
    identity = {**wish.identity, "recipe": wish.recipe.to_json(), "seed": seed}
    if (found := _outcome(folder, identity, resume)) is not None:
        return found
    torch.manual_seed(seed)
    trainer = Trainer(wish.build(), wish.split, wish.recipe, seed, wish.device)
    progress, best = _begin(folder, identity, trainer, resume)
    validation = draw(wish.split, "validation", seed)
    while not progress.over(wish.recipe):
        if stop.requested:
            _save(folder, identity, trainer, progress, best)
            return None
        loss, seconds, drawing = trainer.epoch(progress.epoch + 1)
        kept = folder / CHECKPOINT
        checkpoint.check_finite(loss, epoch=progress.epoch, step=0, checkpoint=kept if kept.exists() else None)
        progress.losses.append(loss)
        progress.epoch += 1
        progress.seconds += seconds
        progress.drawing += drawing
        if progress.epoch % wish.recipe.every == 0 or progress.epoch == wish.recipe.epochs:
            scored = validation.sampled(trainer.score, wish.recipe.maxlen)
            mean = float(np.mean(progress.losses))
            progress.curve.append({"epoch": progress.epoch, "loss": mean, "hit@10": scored.hit, "ndcg@10": scored.ndcg})
            progress.losses = []
            if scored.ndcg > progress.best:
                progress.best, progress.best_epoch = scored.ndcg, progress.epoch
                best = {name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()}
            _save(folder, identity, trainer, progress, best)
        tell(seed, progress)
    trainer.model.load_state_dict(best)
    found = {**_test(trainer, wish, seed), "progress": asdict(progress), **_circumstances(trainer, wish)}
    _write(folder, identity, found)
    return found


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights that validation chose in a folder of a training."""
    weights: dict[str, Tensor] = checkpoint.load(folder / CHECKPOINT)["best"]
    return weights


def _test(trainer: Trainer, wish: Wish, seed: int) -> dict[str, Any]:
    """Score the best weights: by the paper's protocol, without its draw of users, and against every item."""
    length = wish.recipe.maxlen
    protocol = draw(wish.split, "test", seed)
    everybody = draw(wish.split, "test", seed, most=len(wish.split.evaluated))
    return {
        "users": len(protocol.users),
        "sampled": _scores(protocol.sampled(trainer.score, length)),
        "users_all": len(everybody.users),
        "sampled_all": _scores(everybody.sampled(trainer.score, length)),
        "full": _scores(protocol.full(trainer.score, length)),
    }


def _scores(outcome: Outcome) -> dict[str, float]:
    return {"hit@10": outcome.hit, "ndcg@10": outcome.ndcg}


def _circumstances(trainer: Trainer, wish: Wish) -> dict[str, Any]:
    return {
        "commit": environment.commit(),
        "threads": torch.get_num_threads(),
        "device": str(wish.device),
        "steps_an_epoch": trainer.batches.steps,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "environment": environment.capture(wish.device.type),
    }


# The folder


def _begin(
    folder: Path, identity: dict[str, Any], trainer: Trainer, resume: bool
) -> tuple[Progress, dict[str, Tensor]]:
    """Return how far a training is and its best weights so far, after loading the rest into the trainer."""
    path = folder / CHECKPOINT
    if not path.exists():
        return Progress(), {}
    if not resume:
        raise UserError(f"{folder} already holds a training: go on with it (--resume), or name another folder (--out)")
    state = checkpoint.load(path)
    try:
        _same(folder, state["identity"], identity)
        trainer.model.load_state_dict(state["model"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"]), state["best"]
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"checkpoint {path} is not one of this training: delete it to start anew") from error


def _save(
    folder: Path, identity: dict[str, Any], trainer: Trainer, progress: Progress, best: dict[str, Tensor]
) -> None:
    state = {
        "identity": identity,
        "progress": asdict(progress),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "best": best,
    }
    checkpoint.save(folder / CHECKPOINT, state)


def _write(folder: Path, identity: dict[str, Any], found: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps({"identity": identity, **found}, indent=1, default=str)
    write_whole(folder / OUTCOME, body.encode() + b"\n")


def _outcome(folder: Path, identity: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """Return what a training that is done found; None where it is not."""
    path = folder / OUTCOME
    if not path.exists():
        return None
    if not resume:
        raise UserError(f"{folder} holds a training that is done: take it over (--resume), or name another (--out)")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _same(folder, found.pop("identity"), identity)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: delete it to train again") from error
    return found


def _same(folder: Path, found: Any, asked: dict[str, Any]) -> None:
    asked = json.loads(json.dumps(asked))
    different = [name for name in asked if found.get(name) != asked[name]]
    if different:
        name = different[0]
        raise UserError(
            f"{folder} holds another training: its {name} is {found.get(name)!r}, now it is {asked[name]!r}; "
            "resume with what it began with, or name another folder (--out)"
        )
