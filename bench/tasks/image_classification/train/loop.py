"""The loop over epochs and steps: trains, validates, keeps checkpoints, and stops if it must."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.machine.group import Group
from claimbench.bench.papers.models import trained
from claimbench.bench.tasks.image_classification.train import data
from claimbench.bench.tasks.image_classification.train.learner import Learner
from claimbench.bench.tasks.image_classification.train.training_plan import TrainingRun
from claimbench.bench.tasks.image_classification.train.validation import Validation, validate
from claimbench.bench.training import checkpoint
from claimbench.bench.training.log import Log
from claimbench.bench.training.training_folder import TrainingFolder

BEST, LAST = "best.safetensors", "last.safetensors"
"""The files of a run's folder: the best weights, and those of the last epoch."""


@dataclass
class Place:
    """The progress of a run: the next epoch and step, and the best validation so far."""

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1


@dataclass
class Loop:
    """A run in progress.

    Attributes:
        plan, group, learner: the run, its processes, and the model with its optimizer.
        passes: of this process. ``training``, ``validation``: the loaders.
        folder: of the run.
        every: steps between checkpoints inside an epoch, 0 for none.
        look: steps between looks at the losses, which make a GPU wait.
        place: the progress.
    """

    plan: TrainingRun
    group: Group
    learner: Learner
    passes: data.Passes
    training: Any
    validation: Any
    folder: TrainingFolder
    every: int = 0
    look: int = 1
    place: Place = field(default_factory=Place)
    _log: Log | None = None
    _waiting: list[tuple[int, int, float, Tensor]] = field(default_factory=list)
    _epoch_loss: float = 0.0

    def begin(self) -> None:
        """Set the generators that models draw from, different in each process."""
        seed = self.plan.request.seed * 1009 + self.group.rank
        random.seed(seed)
        numpy.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; with another number of processes the models' draws begin anew."""
        self.learner.restore(state)
        self.place = Place(**state["place"])
        self._epoch_loss = state["epoch_loss"]
        if len(state["random"]) == self.group.size:
            checkpoint.restore_random_state(state["random"][self.group.rank])

    def run(self, stop: Any, listener: Listener) -> bool:
        """Train to the end; return False if ``stop.requested`` cut it off, after keeping a checkpoint.

        Raises:
            DivergedError: a loss is not a number; the last checkpoint is as it was.
            UserError: a picture or the disk is broken.
        """
        place, epochs, steps = self.place, self.learner.schedule.epochs, self.learner.steps
        done = place.epoch * steps + place.step
        if self.group.first:
            self._log = Log(self.folder.path, done, place.epoch)
        try:
            with listener.begin("training", epochs * steps, done=done) as part:
                while place.epoch < epochs:
                    if not self._train_epoch(stop, part):
                        return False
                    self._finish_epoch(listener)
            return True
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self.group.device} has not enough memory for passes of {self.plan.share} pictures: choose a smaller "
                "--batch (passes then make up the same step), or --fsdp"
            ) from error
        except (ValueError, RuntimeError) as error:
            if self.group.lost(error):
                raise UserError(
                    "another process of this training has ended, and what was done since the last checkpoint is lost: "
                    "see what it said, and go on with --resume"
                ) from error
            if not self.plan.request.input_size or place != Place():
                raise
            first = str(error).splitlines()[0]
            raise UserError(
                f"{self.plan.variant} cannot train on pictures of {self.plan.size} pixels: {first}"
            ) from error
        except UserError as error:
            if "\n" not in str(error):
                raise
            raise UserError(data.sentence_of(error)) from error  # it comes from a worker, with its traceback
        finally:
            if self._log is not None:
                self._log.close()

    def _train_epoch(self, stop: Any, listener: Listener) -> bool:
        place, steps = self.place, self.learner.steps
        self.passes.begin(place.epoch, place.step)
        batches = iter(self.training)
        while place.step < steps:
            loss = self.learner.step(batches, place.epoch, place.step)
            self._waiting.append((place.epoch, place.step, self.learner.learning_rate(), loss))
            place.step += 1
            due = self.every > 0 and place.step % self.every == 0 and place.step < steps
            if due or place.step % self.look == 0 or place.step == steps:
                self._take_losses(listener)
                stopped = self.group.any(stop.requested)
                if due or stopped:
                    self.keep()
                if stopped:
                    return False
        return True

    def _finish_epoch(self, listener: Listener) -> None:
        from timm.utils import distribute_bn

        learner, place = self.learner, self.place
        self.keep()  # whatever validation meets, the epoch's training is not lost
        if self.group.size > 1:
            distribute_bn(learner.model, self.group.size, reduce=True)
        scores = {"weights": validate(learner.model, self.validation, self.group)}
        if learner.average is not None:
            if self.group.size > 1:
                distribute_bn(learner.average.module, self.group.size, reduce=True)
            scores["average"] = validate(learner.average.module, self.validation, self.group)
        best = max(scores, key=lambda name: scores[name].top1)
        place.epoch, place.step = place.epoch + 1, 0
        mean = self._epoch_loss / learner.steps
        self._epoch_loss = 0.0
        improved = scores[best].top1 > place.best
        if improved:
            place.best, place.best_epoch = scores[best].top1, place.epoch
            self._keep_weights(BEST, scores, average=best == "average")
        self._keep_weights(LAST, scores, average=learner.average is not None)
        self._write([self._epoch_line(scores, mean)])
        self.keep()
        top1 = ", ".join(f"{score.top1:.2f} % top-1 ({name})" for name, score in scores.items())
        listener.say(f"epoch {place.epoch}/{learner.schedule.epochs}: loss {mean:.4f}, {top1}")

    def keep(self) -> None:
        """Write a checkpoint of this very step."""
        state = self.learner.state()
        generators = self.group.gather(checkpoint.random_state())
        if self.group.first:
            self.folder.keep({**state, "random": generators, "place": vars(self.place), "epoch_loss": self._epoch_loss})
        self.group.wait()

    def _keep_weights(self, name: str, scores: dict[str, Validation], *, average: bool) -> None:
        weights = self.learner.weights(average=average)
        if self.group.first:
            description = trained.Description(
                paper=self.plan.request.paper,
                variant=self.plan.variant,
                form=self.plan.form,
                config=self.plan.config,
                input_size=self.plan.size,
                epoch=self.place.epoch,
                average=average,
                top1=scores["average" if average else "weights"].top1,
                deviations=self.plan.deviations,
            )
            trained.save(self.folder.path / name, weights, description)

    def _take_losses(self, listener: Listener) -> None:
        """Look at the losses since the last look: log them, or stop at one that is not a number."""
        if not self._waiting:
            return
        losses = self.group.sum(torch.stack([loss for *_, loss in self._waiting])) / self.group.size
        kept = self.folder.checkpoint
        lines = []
        for (epoch, step, rate, _), loss in zip(self._waiting, losses.tolist(), strict=True):
            checkpoint.check_finite(loss, epoch=epoch, step=step, checkpoint=kept if kept.exists() else None)
            done = epoch * self.learner.steps + step + 1
            lines.append({"kind": "step", "epoch": epoch, "step": step, "steps": done, "loss": loss, "lr": rate})
            self._epoch_loss += loss
        self._waiting.clear()
        self._write(lines)
        listener.at(done, what=f"epoch {epoch + 1}/{self.learner.schedule.epochs}, loss {loss:.4f}")

    def _epoch_line(self, scores: dict[str, Validation], loss: float) -> dict[str, Any]:
        line = {
            "kind": "epoch",
            "epoch": self.place.epoch - 1,
            "steps": self.place.epoch * self.learner.steps,
            "loss": loss,
        }
        for name, score in scores.items():
            suffix = "" if name == "weights" else "_average"
            line |= {f"top1{suffix}": score.top1, f"validation_loss{suffix}": score.loss}
        return line

    def _write(self, lines: list[dict[str, Any]]) -> None:
        if self._log is not None:
            self._log.write(lines)
