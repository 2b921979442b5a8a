"""``bench train``: trains a paper's model by the paper's own recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from claimbench.bench.cli.options import RESULTS, Results, SeveralValues, complete_papers, complete_variants, filled

EXAMPLES = (
    "Examples: `bench train --paper van --variant van_b0 --dry-run` · `torchrun --nproc-per-node 8 -m claimbench.bench "
    "train --paper van --variant van_b0 --data imagenet` · `bench train --paper dhvt --data folder --classes 10 "
    "--epochs 20 --global-batch 128` · `bench train --paper van --variant van_b0 --data imagenet --resume`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", cls=SeveralValues, epilog=EXAMPLES)(train)


def train(
    paper: Annotated[str, typer.Option(help="The paper, by id.", autocompletion=complete_papers)],
    variant: Annotated[
        str, typer.Option(help="The variant; else the paper's first.", autocompletion=complete_variants)
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with train and val in it, a sub-folder a class; or the file of a data set."),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(help="A data set of the paper's task; for pictures timm's name of one in --data: torch/cifar100."),
    ] = "",
    recipe: Annotated[str, typer.Option(help="An alternative of the paper's recipe, or another paper's id.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints, weights and logs; trained/VARIANT by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with these weights: the official layout, or made by bench train.")
    ] = None,
    classes: Annotated[int, typer.Option(min=0, max=1_000_000, help="Classes of the head; 0 for the recipe's.")] = 0,
    input_size: Annotated[int, typer.Option(min=0, max=8192, help="Side of the pictures; 0 for the recipe's.")] = 0,
    epochs: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Epochs before the cool-down; 0 for the recipe's.")
    ] = 0,
    lr: Annotated[
        float, typer.Option(min=0, max=1e6, help="Peak learning rate, not scaled; 0 for the recipe's.")
    ] = 0.0,
    global_batch: Annotated[
        int, typer.Option(min=0, max=10_000_000, help="Pictures a step over all devices; 0 for the recipe's.")
    ] = 0,
    batch: Annotated[
        int,
        typer.Option(
            min=0, max=1_000_000, help="Pictures a device takes at once; passes are added up to the recipe's step."
        ),
    ] = 0,
    accumulate: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Passes a step; with --batch these make up the step.")
    ] = 0,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; auto is the recipe's on a GPU.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; under torchrun a GPU each.")] = "auto",
    fsdp: Annotated[bool, typer.Option("--fsdp", help="Shard the weights over the processes (FSDP2).")] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that read pictures, for each device; else up to 4.")
    ] = None,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000_000, help="Steps between checkpoints inside an epoch, 1000 unless said; 0 for none."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Seed of weights, order and augmentation.")] = 0,
    seeds: Annotated[
        list[str] | None,
        typer.Option(help="Several trainings, where a paper's figure is a mean: how many (5), 10-14 or 3,7,9."),
    ] = None,
    results: Results = Path(RESULTS),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and from which source.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Train a model by its paper's own recipe; weights for `bench run --weights`, a log and a checkpoint are kept."""
    given = locals()
    from claimbench.bench import tasks
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.core import text
    from claimbench.bench.core.task import TrainRequest
    from claimbench.bench.papers import registry

    with shown() as listener:
        asked = {**given, "seeds": text.seeds(seeds) if seeds else None, "listener": listener}
        status = tasks.get(registry.paper(paper).task).train(filled(TrainRequest, asked))
    raise typer.Exit(status)
