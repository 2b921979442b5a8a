"""``bench run``: measures the figures that papers claim, and compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import DATA, HOW, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Device,
    JsonFile,
    Named,
    NoStore,
    Papers,
    Results,
    Threads,
    complete_datasets,
    complete_metrics,
    complete_tasks,
    complete_variants,
    examples,
    filled,
    flag,
    named,
    number,
    value,
    whole,
)
from claimbench.bench.core.terminal import check_output, console, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from claimbench.bench.report.report import Report
    from claimbench.bench.report.view import View
    from claimbench.bench.run.pipeline import Ended
    from claimbench.bench.run.run_file import RunFile

EXAMPLES = examples(
    "bench run overlock",
    "bench run overlock --variant overlock_t --metrics latency --batch 1,8",
    "bench run overlock --against official.py:build",
    "bench run overlock --metrics accuracy --weights official --data imagenet/val",
    "bench run all --quick",
    "bench run --resume latest",
)
Names = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", cls=SeveralValues, epilog=EXAMPLES)(run)


def run(
    names: Named = None,
    papers: Papers = None,
    all: Annotated[bool, flag("--all", WHAT, "Time every variant, and show rows that no paper reports.")] = False,
    task: Annotated[
        str,
        value(
            "--task",
            takes="NAME",
            panel=WHAT,
            help="Another task than the paper's, such as semantic-segmentation: its models as backbones there.",
            complete=complete_tasks,
        ),
    ] = "",
    variants: Annotated[
        Names,
        value(
            "--variant",
            takes="NAME",
            panel=WHAT,
            help="Variants, or all; else the paper's default ones.",
            complete=complete_variants,
        ),
    ] = None,
    forms: Annotated[
        Names,
        value("--form", takes="NAME", panel=WHAT, help="Forms of paper.yaml; else all are counted, one is timed."),
    ] = None,
    metrics: Annotated[
        Names,
        value(
            "--metrics",
            "--metric",
            takes="NAME",
            panel=WHAT,
            help="params, flops, throughput, latency, memory, energy, parity, accuracy; else all of them.",
            complete=complete_metrics,
        ),
    ] = None,
    baselines: Annotated[
        Names,
        value("--baseline", takes="NAME", panel=WHAT, help="timm models beside the paper's; none to leave them out."),
    ] = None,
    against: Annotated[
        Names,
        value(
            "--against",
            takes="FILE.py:FACTORY",
            panel=WHAT,
            help="Your own model, measured beside ours in the same run.",
        ),
    ] = None,
    claims: Annotated[
        bool, flag("--claims/--no-claims", WHAT, "Whether to test the paper's claims; some train for minutes.")
    ] = True,
    device: Device = "auto",
    batch: Annotated[
        Names, value("--batch", takes="N", panel=HOW, help="Batch sizes, or auto for the best one found.")
    ] = None,
    precision: Annotated[
        Names, value("--precision", takes="NAME", panel=HOW, help="fp32, tf32, bf16 or fp16; fp32 by default.")
    ] = None,
    mode: Annotated[
        Names, value("--mode", takes="NAME", panel=HOW, help="eager, compile or cudagraph; eager by default.")
    ] = None,
    channels_last: Annotated[bool, flag("--channels-last", HOW, "Channels-last memory format.")] = False,
    threads: Threads = None,
    input_size: Annotated[
        Names, value("--input-size", takes="SIZE", panel=HOW, help="Another input size: 256, or 256x192.")
    ] = None,
    training: Annotated[bool, flag("--training", HOW, "Time training steps instead of forward passes.")] = False,
    rounds: Annotated[
        int | None,
        value(
            "--rounds",
            takes="N",
            panel=HOW,
            help="Fresh processes for each time; 3, or 1 with --quick.",
            read=whole(1, 100),
        ),
    ] = None,
    quick: Annotated[bool, flag("--quick", HOW, "Fewer repeats; the rows say so.")] = False,
    seed: Annotated[
        int,
        value(
            "--seed",
            takes="N",
            panel=HOW,
            help="Seed of the random order of rounds.",
            read=whole(-(2**63), 2**63 - 1),
        ),
    ] = 0,
    timeout: Annotated[
        float | None,
        value(
            "--timeout",
            takes="SECONDS",
            panel=HOW,
            help="For one job; 900 by default, a week for accuracy.",
            read=number(0.001, 31_536_000),
        ),
    ] = None,
    resume: Annotated[
        str, value("--resume", takes="RUN", panel=HOW, help="Go on with an interrupted run: its id, or latest.")
    ] = "",
    weights: Annotated[
        str,
        value("--weights", takes="FILE", panel=DATA, help="random, official, or a file in the official layout."),
    ] = "random",
    offline: Annotated[
        bool, flag("--offline", DATA, "Fetch nothing: official weights must be in the cache already.")
    ] = False,
    dataset: Annotated[
        str,
        value(
            "--dataset",
            takes="NAME",
            panel=DATA,
            help="What accuracy is measured on: imagenet, imagenet-real, imagenet-v2, imagenet-c, imagenet-a, "
            "imagenet-r, cifar10, cifar100, fashion-mnist, digits, elpv, or folder for classes of your own; else what "
            "the paper reports.",
            complete=complete_datasets,
        ),
    ] = "",
    data: Annotated[
        str,
        value(
            "--data",
            takes="PLACE",
            panel=DATA,
            help="Where it lies: a folder with one sub-folder a class, a .tar of it, WebDataset shards, or a Hugging "
            "Face data set (its folder, or hf:NAME).",
        ),
    ] = "",
    partial: Annotated[
        bool, flag("--partial", DATA, "Evaluate what is there where data are missing; the row says how many.")
    ] = False,
    multi_scale: Annotated[
        bool,
        flag("--multi-scale", DATA, "Score segmenters over several sizes and mirror images of each picture: slow."),
    ] = False,
    devices: Annotated[
        Names,
        value(
            "--devices",
            takes="N",
            panel=DATA,
            help="Share an evaluation among GPUs: 0,1. On a CPU each number is a process.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        value(
            "--workers",
            takes="N",
            panel=DATA,
            help="Processes that read pictures, for each device.",
            read=whole(0, 256),
        ),
    ] = None,
    results: Results = Path(RESULTS),
    no_store: NoStore = False,
    json: JsonFile = "",
) -> None:
    """Measure papers, set the figures beside the reported ones, and say in each row whether they hold."""
    given = {**locals(), "papers": named(names, papers) or None}
    from claimbench.bench.run.dispatch import torchrun_rank

    if torchrun_rank():  # the first of torchrun's processes plans, prints and stores; the others help it
        raise typer.Exit(_help())
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.run import pipeline
    from claimbench.bench.run.request import RunRequest, resolve
    from claimbench.bench.run.run_file import RUNS

    request = filled(RunRequest, given)
    check_output(json)
    if resume:
        if request != RunRequest() or no_store or not claims:
            raise UserError(
                "a resumed run keeps the plan it began with: leave out all options but --results and --json"
            )
        plan = RUNS.load(results, resume)
    else:
        with shown() as listener:
            plan = pipeline.new_plan(resolve(request, listener), timeout, claims)
    raise typer.Exit(_run(plan, None if no_store else results, json, bool(resume)))


def _help() -> int:
    """Do the share of one of torchrun's further processes; return the exit status."""
    from claimbench.bench.machine.process import Stop
    from claimbench.bench.run.dispatch import follow

    with Stop() as stop:
        return follow(stop)


def _run(plan: RunFile, results: Path | None, json: str, resumed: bool) -> int:
    """Run, print the results, and return the exit status."""
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.machine import environment
    from claimbench.bench.machine.process import Interrupted, Stop
    from claimbench.bench.report.view import View
    from claimbench.bench.run import pipeline
    from claimbench.bench.run.checks import precheck
    from claimbench.bench.run.dispatch import dispatching

    with Stop() as stop, shown() as listener:
        try:
            notes = precheck(plan.jobs, stop, listener)
        except Interrupted:
            typer.echo("bench: interrupted while the data were checked; nothing was measured", err=True)
            return 130
    for note in dict.fromkeys(notes):
        typer.echo(f"bench: {note}", err=True)
    if results is not None:
        typer.echo(f"{'resuming' if resumed else 'starting'} run {plan.run} in {results}", err=True)
    if plan.device == "cpu" and environment.native_level() is None:
        typer.echo("bench: operators run on their slow reference form here; `bench doctor` says why", err=True)
    with Stop() as stop:
        with dispatching(results, plan.run) as dispatch, shown() as listener:
            ended = pipeline.run(plan, results, stop, listener, resumed, dispatch, _early(json, results))
        status = ended.status()
        if json:
            status = write_json(pipeline.as_json(ended), json) or status
        if json != "-":
            _print(ended, results, View(all=plan.all))
        if ended.interrupted:
            hint = f"; go on with: bench run --resume {ended.run}" if results is not None else ""
            if results is not None and str(results) != RESULTS:
                hint += f" --results {results}"
            what = f"{ended.left} of {len(plan.jobs)} jobs" if ended.left else "claims"
            typer.echo(f"bench: interrupted with {what} left{hint}", err=True)
        if ended.problem:
            typer.echo(f"bench: {ended.problem}", err=True)
    return status


def _early(json: str, results: Path | None) -> Callable[[tuple[Report, ...]], None]:
    """Return a function that prints the cards of what needs no clock; none of them if stdout is for JSON."""

    def show(reports: tuple[Report, ...]) -> None:
        from claimbench.bench.cli.report import print_card

        if json != "-":
            for report in reports:
                print_card(report, results)
            console().print("\nTimes are next; the card comes again with them.\n", style="dim")

    return show


def _print(ended: Ended, results: Path | None, view: View) -> None:
    """Print the rows and what failed, then the cards."""
    from claimbench.bench.cli.report import print_card, print_rows

    out = console()
    for report in ended.reports:
        print_rows(report, view)
    for title, sentences in (("Look again", ended.findings), ("Failed", ended.failed)):
        if sentences:
            out.print(f"\n{title}", style="bold")
            for sentence in sentences:
                out.print(f"  {sentence}", markup=False)
    for report in ended.reports:
        out.print()
        print_card(report, results)
