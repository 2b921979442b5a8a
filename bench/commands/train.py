"""``bench train``: trains a paper's model by the paper's own recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.options import complete_papers, complete_variants, console, print_json

if TYPE_CHECKING:
    from bench.training.plan import Plan
    from bench.training.session import Ended

OUT = "trained"
EXAMPLES = (
    "Examples: `bench train --paper van --variant van_b0 --dry-run` · `torchrun --nproc-per-node 8 -m bench train "
    "--paper van --variant van_b0 --data imagenet` · `bench train --paper dhvt --data folder --classes 10 --epochs 20 "
    "--global-batch 128` · `bench train --paper van --variant van_b0 --data imagenet --resume`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", epilog=EXAMPLES)(train)


def train(
    paper: Annotated[str, typer.Option(help="The paper, by id.", autocompletion=complete_papers)],
    variant: Annotated[
        str, typer.Option(help="The variant; else the paper's first.", autocompletion=complete_variants)
    ] = "",
    data: Annotated[Path | None, typer.Option(help="A folder with train and val in it, a sub-folder a class.")] = None,
    dataset: Annotated[
        str, typer.Option(help="timm's name of a data set kept in --data, such as torch/cifar100.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="An alternative of the paper's recipe, or another paper's id.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints, weights and logs; trained/VARIANT by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with these weights: the official layout, or made by bench train.")
    ] = None,
    classes: Annotated[int, typer.Option(min=0, help="Classes of the head; 0 for the recipe's.")] = 0,
    input_size: Annotated[int, typer.Option(min=0, max=8192, help="Side of the pictures; 0 for the recipe's.")] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs before the cool-down; 0 for the recipe's.")] = 0,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate, not scaled; 0 for the recipe's.")] = 0.0,
    global_batch: Annotated[int, typer.Option(min=0, help="Pictures a step over all devices; 0 for the recipe's.")] = 0,
    batch: Annotated[
        int, typer.Option(min=0, help="Pictures a device takes at once; passes are added up to the recipe's step.")
    ] = 0,
    accumulate: Annotated[int, typer.Option(min=0, help="Passes a step; with --batch these make up the step.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; auto is the recipe's on a GPU.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; under torchrun a GPU each.")] = "auto",
    fsdp: Annotated[bool, typer.Option("--fsdp", help="Shard the weights over the processes (FSDP2).")] = False,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes that read pictures, for each device.")] = min(
        4, os.cpu_count() or 1
    ),
    checkpoint_steps: Annotated[
        int, typer.Option(min=0, help="Steps between checkpoints inside an epoch; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of weights, order and augmentation.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and from which source.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Train a model by its paper's own recipe; weights for `bench run --weights`, a log and a checkpoint are kept."""
    from bench import devices
    from bench.training import distributed
    from bench.training.plan import Wish, resolve

    place = devices.resolve(device)
    count = distributed.processes()
    wish = Wish(
        paper=paper,
        variant=variant,
        data=data,
        dataset=dataset,
        recipe=recipe,
        classes=classes,
        input_size=input_size,
        epochs=epochs,
        lr=lr,
        global_batch=global_batch,
        batch=batch,
        accumulate=accumulate,
        precision=precision,
        start=str(start) if start else "",
        seed=seed,
    )
    plan = resolve(wish, devices=count, on_gpu=place != "cpu")
    if dry_run:
        _print_plan(plan, count, json)
        return
    folder = out or Path(OUT) / plan.variant.replace("@", "_")
    ended = _train(plan, folder, place, resume, fsdp, checkpoint_steps, workers)
    if distributed.rank() == 0:
        _print_end(plan, ended, json)
    raise typer.Exit(0 if ended.finished else 130)


def _train(plan: Plan, folder: Path, device: str, resume: bool, shard: bool, every: int, workers: int) -> Ended:
    from bench.process import Stop
    from bench.training import distributed, session
    from bench.training.show import watching

    speaks = distributed.rank() == 0
    if speaks:
        typer.echo(f"{'resuming' if resume else 'training'} {plan.variant} in {folder}", err=True)
        for sentence in plan.deviations:
            typer.echo(f"departs from the paper's recipe: {sentence}", err=True)
    epochs = (plan.recipe.epochs or 0) + plan.recipe.cooldown_epochs
    with Stop() as stop, watching(epochs, speaks=speaks) as watcher:
        return session.train(
            plan,
            folder,
            device=device,
            resume=resume,
            shard=shard,
            every=every,
            workers=workers,
            stop=stop,
            watcher=watcher,
        )


def _print_plan(plan: Plan, devices: int, json: bool) -> None:
    from bench.training.learner import count_parameters
    from bench.training.show import print_plan, rows

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


def _print_end(plan: Plan, ended: Ended, json: bool) -> None:
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
        f"evaluate: bench run --paper {plan.wish.paper} --variant {plan.variant}{form}{size} --metrics accuracy "
        f"--weights {weights} --data {plan.wish.data}{kind}"
    )
