"""A run from its folder's point of view: begun or resumed, checked against the folder, trained, and reported."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.machine import environment
from claimbench.bench.machine.locks import folder_alone
from claimbench.bench.machine.process import Interrupted
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.tasks.image_classification.train import data, intact, transforms
from claimbench.bench.tasks.image_classification.train.learner import Learner
from claimbench.bench.tasks.image_classification.train.loop import BEST, LAST, Loop
from claimbench.bench.tasks.image_classification.train.training_plan import TrainingRun
from claimbench.bench.training import distributed
from claimbench.bench.training.training_folder import CHECKPOINT, TrainingFolder

RUN = "run.json"
"""The file of a run's plan, its departures from the paper's recipe, and the machine that it was begun on."""

LOOK_ON_GPU = 20
"""Steps between looks at the losses on a GPU, which has to wait for each look."""


@dataclass(frozen=True)
class TrainingEnded:
    """The end of a run: finished or interrupted, the last epoch, the best validation so far, and the classes.

    ``synsets`` says that these are named as ImageNet's are.
    """

    finished: bool
    epoch: int
    epochs: int
    best: float
    best_epoch: int
    folder: Path
    synsets: bool

    def weights(self) -> Path:
        """Return the file of the best weights, or of the last if none was validated."""
        best = self.folder / BEST
        return best if best.exists() else self.folder / LAST


def train(
    plan: TrainingRun,
    folder: Path,
    *,
    device: str,
    resume: bool,
    shard: bool,
    every: int,
    workers: int,
    stop: Any,
    listener: Listener,
) -> TrainingEnded:
    """Train the run of ``plan`` in ``folder``, or continue it.

    Args:
        plan: the run.
        folder: of its checkpoint, weights and logs.
        device: ``cpu`` or ``cuda``.
        resume: whether the folder's run is continued.
        shard: whether FSDP2 shards the weights.
        every: steps between checkpoints inside an epoch, 0 for none.
        workers: processes that read pictures, for each device.
        stop: watched between steps.
        listener: told of its progress.

    Raises:
        UserError: the data, the folder, its checkpoint or the disk is not as it must be; DivergedError: a loss is no
            number.
    """
    if shard and distributed.processes() == 1:
        raise UserError(
            "--fsdp shards the weights over processes: "
            "start them with torchrun --nproc-per-node N -m claimbench.bench ..."
        )
    pictures = data.open_pictures(_data(plan), plan.request.dataset)
    check_classes(plan, pictures)
    if distributed.rank() == 0:
        try:
            with listener.begin("reading pictures") as told:
                for part in (pictures.validate, pictures.train):
                    intact.check(part, _data(plan), stop, told)
        except Interrupted:
            raise KeyboardInterrupt("while the pictures were looked at; nothing was trained") from None
    plan = replace(plan, pictures=pictures.describe())
    _check_folder(folder, resume)
    with _alone(folder), distributed.joined(device) as group:
        _check_folder(folder, resume)
        kept = TrainingFolder(folder, plan.identity(), "run")
        state = kept.kept()
        passes = data.Passes(
            len(pictures.train),
            plan.batch,
            plan.accumulate,
            group.rank,
            group.size,
            plan.request.seed,
            plan.recipe.repeats,
        )
        _check_counts(plan, pictures, passes, group.size)
        drawn = data.Drawn(
            pictures.train, transforms.training_transform(plan.recipe, plan.input, plan.size), plan.request.seed
        )
        plain = data.Plain(pictures.validate, transforms.validation_transform(plan.input, plan.size))
        pin = group.device.type == "cuda"
        learner = Learner(plan, group, passes.steps, shard=shard)
        loop = Loop(
            plan=plan,
            group=group,
            learner=learner,
            passes=passes,
            training=data.training_loader(drawn, passes, workers, pin=pin),
            validation=data.validation_loader(plain, plan.share, group.rank, group.size, workers, pin=pin),
            folder=kept,
            every=every,
            look=LOOK_ON_GPU if pin else 1,
        )
        loop.begin()
        if state is not None:
            loop.resume(state)
            state = None  # as large as the model and its optimizer
        elif group.first:
            _check_room(learner, folder)
            _describe(plan, folder, group.size, device)
        group.wait()
        finished = loop.run(stop, listener)
    place = loop.place
    return TrainingEnded(
        finished, place.epoch, learner.schedule.epochs, place.best, place.best_epoch, folder, pictures.synsets
    )


def check_classes(plan: TrainingRun, pictures: data.TrainingPictures) -> None:
    """Check that the model has one output for each class.

    Raises:
        UserError: it has not. The message says how to set it.
    """
    if pictures.classes == plan.classes:
        return
    raise UserError(
        f"data folder {plan.request.data} has {pictures.classes} classes and {plan.variant} is trained on "
        f"{plan.classes} ({plan.recipe.data}): give another folder, or say --classes {pictures.classes} to train a "
        "head of that width"
    )


def _data(plan: TrainingRun) -> Path:
    if plan.request.data is None:
        raise UserError("nothing to train on: give a folder with train and val in it with --data")
    return plan.request.data


def _check_counts(plan: TrainingRun, pictures: data.TrainingPictures, passes: data.Passes, size: int) -> None:
    if not passes.steps:
        raise UserError(
            f"data folder {plan.request.data} has {len(pictures.train)} pictures to train on and a step takes "
            f"{plan.batch}: choose a smaller --global-batch"
        )
    if len(pictures.validate) < size:
        raise UserError(f"data folder {plan.request.data} has fewer validation pictures than there are processes")


def _check_folder(folder: Path, resume: bool) -> None:
    """Check that a folder holds a run if and only if one is to be continued."""
    if not resume and (folder / CHECKPOINT).exists():
        raise UserError(f"{folder} already holds a run: go on with it (--resume), or name another folder (--out)")
    if resume and not any((folder / name).exists() for name in (CHECKPOINT, RUN)):
        raise UserError(f"{folder} holds no run to resume: leave out --resume, or name its folder with --out")


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Keep other trainings out of a folder; of several processes the first does."""
    return nullcontext() if distributed.rank() else folder_alone(folder)


def _check_room(learner: Learner, folder: Path) -> None:
    """Check that a checkpoint and two files of weights will fit on the disk, an old checkpoint beside the new one."""
    weights = sum(p.numel() * p.element_size() for p in learner.model.parameters())
    copies = 3 + (learner.average is not None)  # weights, two moments, average
    needed = weights * (2 * copies + 2)
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{existing} has {free / 1e6:.0f} MB free and the run's checkpoints need {needed / 1e6:.0f} MB: "
            "make room, or name a folder on another disk with --out"
        )


def _describe(plan: TrainingRun, folder: Path, processes: int, device: str) -> None:
    """Write the plan of a run, its sources, and its machine."""
    values = {
        **plan.identity(),
        "deviations": plan.deviations,
        "recipe": plan.recipe.model_dump(mode="json"),
        "processes": processes,
        "pictures a pass": plan.share,
        "passes a step": plan.accumulate,
        "environment": environment.capture(device),
    }
    write_whole(folder / RUN, json.dumps(values, indent=2).encode() + b"\n")
