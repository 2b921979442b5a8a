"""``bench train``: trains a paper's model by the paper's own recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import DATA, HOW, OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Json,
    Results,
    complete_papers,
    complete_variants,
    examples,
    filled,
    flag,
    number,
    value,
    whole,
)

EXAMPLES = examples(
    "bench train van --variant van_b0 --dry-run",
    "bench train dhvt --data folder --classes 10 --epochs 20 --global-batch 128",
    "bench train van --variant van_b0 --data imagenet --resume",
    "torchrun --nproc-per-node 8 -m claimbench.bench train van --data imagenet",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", cls=SeveralValues, epilog=EXAMPLES)(train)


def train(
    name: Annotated[
        str, typer.Argument(metavar="PAPER", help="The paper, by id.", autocompletion=complete_papers)
    ] = "",
    paper: Annotated[
        str, value("--paper", takes="PAPER", panel=WHAT, help="The same as an option.", complete=complete_papers)
    ] = "",
    variant: Annotated[
        str,
        value(
            "--variant",
            takes="NAME",
            panel=WHAT,
            help="The variant; else the paper's first.",
            complete=complete_variants,
        ),
    ] = "",
    recipe: Annotated[
        str,
        value(
            "--recipe", takes="NAME", panel=WHAT, help="An alternative of the paper's recipe, or another paper's id."
        ),
    ] = "",
    classes: Annotated[
        int,
        value(
            "--classes",
            takes="N",
            panel=WHAT,
            help="Classes of the head; 0 for the recipe's.",
            read=whole(0, 1_000_000),
        ),
    ] = 0,
    input_size: Annotated[
        int,
        value(
            "--input-size", takes="N", panel=WHAT, help="Side of the pictures; 0 for the recipe's.", read=whole(0, 8192)
        ),
    ] = 0,
    start: Annotated[
        Path | None,
        value(
            "--start",
            takes="FILE",
            panel=WHAT,
            help="Begin with these weights: the official layout, or made by bench train.",
        ),
    ] = None,
    epochs: Annotated[
        int,
        value(
            "--epochs",
            takes="N",
            panel=HOW,
            help="Epochs before the cool-down; 0 for the recipe's.",
            read=whole(0, 1_000_000),
        ),
    ] = 0,
    lr: Annotated[
        float,
        value(
            "--lr",
            takes="RATE",
            panel=HOW,
            help="Peak learning rate, not scaled; 0 for the recipe's.",
            read=number(0, 1e6),
        ),
    ] = 0.0,
    global_batch: Annotated[
        int,
        value(
            "--global-batch",
            takes="N",
            panel=HOW,
            help="Pictures a step over all devices; 0 for the recipe's.",
            read=whole(0, 10_000_000),
        ),
    ] = 0,
    batch: Annotated[
        int,
        value(
            "--batch",
            takes="N",
            panel=HOW,
            help="Pictures a device takes at once; passes are added up to the recipe's step.",
            read=whole(0, 1_000_000),
        ),
    ] = 0,
    accumulate: Annotated[
        int,
        value(
            "--accumulate",
            takes="N",
            panel=HOW,
            help="Passes a step; with --batch these make up the step.",
            read=whole(0, 1_000_000),
        ),
    ] = 0,
    precision: Annotated[
        str,
        value("--precision", takes="NAME", panel=HOW, help="auto, fp32, bf16 or fp16; auto is the recipe's on a GPU."),
    ] = "auto",
    device: Annotated[
        str, value("--device", takes="DEVICE", panel=HOW, help="auto, cpu or cuda; under torchrun a GPU each.")
    ] = "auto",
    fsdp: Annotated[bool, flag("--fsdp", HOW, "Shard the weights over the processes (FSDP2).")] = False,
    seed: Annotated[
        int,
        value("--seed", takes="N", panel=HOW, help="Seed of weights, order and augmentation.", read=whole(0, 2**31)),
    ] = 0,
    seeds: Annotated[
        list[str] | None,
        value(
            "--seeds",
            takes="N",
            panel=HOW,
            help="Several trainings, where a paper's figure is a mean: how many (5), 10-14 or 3,7,9.",
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int | None,
        value(
            "--checkpoint-steps",
            takes="N",
            panel=HOW,
            help="Steps between checkpoints inside an epoch, 1000 unless said; 0 for none.",
            read=whole(0, 1_000_000_000),
        ),
    ] = None,
    resume: Annotated[bool, flag("--resume", HOW, "Go on with the run in its folder.")] = False,
    data: Annotated[
        Path | None,
        value(
            "--data",
            takes="PLACE",
            panel=DATA,
            help="A folder with train and val in it, a sub-folder a class; or the file of a data set.",
        ),
    ] = None,
    dataset: Annotated[
        str,
        value(
            "--dataset",
            takes="NAME",
            panel=DATA,
            help="A data set of the paper's task; for pictures timm's name of one in --data: torch/cifar100.",
        ),
    ] = "",
    workers: Annotated[
        int | None,
        value(
            "--workers",
            takes="N",
            panel=DATA,
            help="Processes that read pictures, for each device; else up to 4.",
            read=whole(0, 256),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        value(
            "--out",
            takes="FOLDER",
            panel=OUTPUT,
            help="Folder of checkpoints, weights and logs; trained/VARIANT by default.",
        ),
    ] = None,
    results: Results = Path(RESULTS),
    dry_run: Annotated[bool, flag("--dry-run", OUTPUT, "Say what would be trained, and from which source.")] = False,
    json: Json = False,
) -> None:
    """Train a model by its paper's own recipe; weights for `bench run --weights`, a log and a checkpoint are kept."""
    given = {**locals(), "paper": name or paper}
    from claimbench.bench import tasks
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.core import text
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.core.task import TrainRequest
    from claimbench.bench.papers import registry

    if bool(name) == bool(paper):
        raise UserError("say which paper, once: bench train PAPER")
    with shown() as listener:
        asked = {**given, "seeds": text.seeds(seeds) if seeds else None, "listener": listener}
        status = tasks.trained_by(registry.paper(name or paper), dataset, variant).train(filled(TrainRequest, asked))
    raise typer.Exit(status)
