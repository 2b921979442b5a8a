"""``bench train`` for image classifiers: resolves the recipe, prints departures from it, trains, and prints the end."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.core.terminal import console, print_json
from claimbench.bench.machine import devices
from claimbench.bench.machine.process import Stop
from claimbench.bench.tasks.image_classification.train import session
from claimbench.bench.tasks.image_classification.train.learner import count_parameters
from claimbench.bench.tasks.image_classification.train.session import TrainingEnded
from claimbench.bench.tasks.image_classification.train.show import print_plan, rows
from claimbench.bench.tasks.image_classification.train.training_plan import TrainingRun, resolve
from claimbench.bench.training import distributed

WORKERS = 4
CHECKPOINT_STEPS = 1000


def train(request: TrainRequest) -> int:
    """Train as asked and return the exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: the recipe, the data or an option is wrong; one sentence.
    """
    request.refuse_others("image classification", *(name for name in vars(request) if name != "seeds"))
    place = devices.resolve(request.device)
    count = distributed.processes()
    plan = resolve(request, devices=count, on_gpu=place != "cpu")
    if request.dry_run:
        _print_plan(plan, count, request.json)
        return 0
    ended = _train(plan, request, request.folder(plan.variant.replace("@", "_")), place)
    if distributed.rank() == 0:
        _print_end(plan, ended, request.json)
    return 0 if ended.finished else 130


def _train(plan: TrainingRun, request: TrainRequest, folder: Path, device: str) -> TrainingEnded:
    speaks = distributed.rank() == 0
    if speaks:
        typer.echo(f"{'resuming' if request.resume else 'training'} {plan.variant} in {folder}", err=True)
        for sentence in plan.deviations:
            typer.echo(f"departs from the paper's recipe: {sentence}", err=True)
    every, workers = request.checkpoint_steps, request.workers
    with Stop() as stop:
        return session.train(
            plan,
            folder,
            device=device,
            resume=request.resume,
            shard=request.fsdp,
            every=CHECKPOINT_STEPS if every is None else every,
            workers=min(WORKERS, os.cpu_count() or 1) if workers is None else workers,
            stop=stop,
            listener=request.listener if speaks else SILENT,
        )


def _print_plan(plan: TrainingRun, devices: int, json: bool) -> None:
    if not json:
        print_plan(console(), plan, devices, count_parameters(plan))
        return
    print_json(
        {
            **plan.identity(),
            "values": [dict(zip(("name", "value", "source"), row, strict=True)) for row in rows(plan)],
            "parameters": count_parameters(plan),
            "pictures a pass": plan.share,
            "passes a step": plan.accumulate,
            "devices": devices,
            "deviations": plan.deviations,
            "notes": plan.recipe.notes,
        }
    )


def _print_end(plan: TrainingRun, ended: TrainingEnded, json: bool) -> None:
    weights = ended.weights()
    if json:
        print_json({**vars(ended), "weights": weights, "deviations": plan.deviations})
    if not ended.finished:
        typer.echo(
            f"bench: interrupted in epoch {ended.epoch + 1} of {ended.epochs}; the same command with --resume goes on",
            err=True,
        )
        return
    if json:
        return
    typer.echo(f"best: {ended.best:.2f} % top-1 after epoch {ended.best_epoch} of {ended.epochs}, in {weights}")
    form = f" --form {plan.form}" if plan.form not in ("", "model") else ""
    size = f" --input-size {plan.size}" if plan.size != plan.input.size else ""
    kind = "" if ended.synsets else " --dataset folder"
    typer.echo(
        f"evaluate: bench run --paper {plan.request.paper} --variant {plan.variant}{form}{size} --metrics accuracy "
        f"--weights {weights} --data {plan.request.data}{kind}"
    )
