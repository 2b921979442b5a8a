"""``bench run``: measures the figures that papers claim, and compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.options import (
    RESULTS,
    Results,
    SeveralValues,
    complete_datasets,
    complete_metrics,
    complete_papers,
    complete_tasks,
    complete_variants,
    filled,
    named,
)
from claimbench.bench.core.terminal import check_output, console, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from claimbench.bench.report.report import Report
    from claimbench.bench.report.view import View
    from claimbench.bench.run.pipeline import Ended
    from claimbench.bench.run.run_file import RunFile

EXAMPLES = (
    "Examples: `bench run --paper overlock` · `bench run --paper overlock --variant overlock_t --metrics latency "
    "--batch 1,8` · `bench run --paper all --quick` · `bench run --paper overlock --against official.py:build` · "
    "`bench run --resume latest`"
)
Names = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", cls=SeveralValues, epilog=EXAMPLES)(run)


def run(
    names: Annotated[
        Names,
        typer.Argument(
            metavar="[PAPER]...", help="Papers by id, or all.", autocompletion=complete_papers, show_default=False
        ),
    ] = None,
    papers: Annotated[
        Names,
        typer.Option("--paper", help="The same as an option.", autocompletion=complete_papers, show_default=False),
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Time every variant, and show rows that no paper reports.")
    ] = False,
    task: Annotated[
        str,
        typer.Option(
            help="Another task than the paper's, such as semantic-segmentation: its models as backbones there.",
            autocompletion=complete_tasks,
            show_default=False,
        ),
    ] = "",
    variants: Annotated[
        Names,
        typer.Option(
            "--variant", help="Variants, or all; else the paper's default ones.", autocompletion=complete_variants
        ),
    ] = None,
    forms: Annotated[
        Names, typer.Option("--form", help="Forms of paper.yaml; else all of them are counted, one is timed.")
    ] = None,
    metrics: Annotated[
        Names,
        typer.Option(
            "--metrics",
            "--metric",
            help="params, flops, throughput, latency, memory, energy, parity, accuracy; else all of them.",
            autocompletion=complete_metrics,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    batch: Annotated[Names, typer.Option(help="Batch sizes, or auto for the best one found.")] = None,
    precision: Annotated[Names, typer.Option(help="fp32, tf32, bf16 or fp16; fp32 by default.")] = None,
    mode: Annotated[Names, typer.Option(help="eager, compile or cudagraph; eager by default.")] = None,
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Channels-last memory format.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; else torch's choice.")] = None,
    input_size: Annotated[Names, typer.Option(help="Another input size: 256, or 256x192.")] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Time training steps instead of forward passes.")
    ] = False,
    weights: Annotated[str, typer.Option(help="random, official, or a file in the official layout.")] = "random",
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing: official weights must be in the cache already.")
    ] = False,
    dataset: Annotated[
        str,
        typer.Option(
            help="What accuracy is measured on: imagenet, imagenet-real, imagenet-v2, imagenet-c, imagenet-a, "
            "imagenet-r, cifar10, cifar100, fashion-mnist, digits, elpv, or folder for classes of your own; else what "
            "the paper reports.",
            autocompletion=complete_datasets,
            show_default=False,
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            help="Where it lies: a folder with one sub-folder a class, a .tar of it, WebDataset shards, or a Hugging "
            "Face data set (its folder, or hf:NAME).",
            show_default=False,
        ),
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Evaluate what is there where data are missing; the row says how many.")
    ] = False,
    multi_scale: Annotated[
        bool,
        typer.Option(
            "--multi-scale", help="Score segmenters over several sizes and mirror images of each picture too: slow."
        ),
    ] = False,
    devices: Annotated[
        Names, typer.Option(help="Share an evaluation among GPUs: 0,1. On a CPU each number is a process.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that read pictures, for each device.")
    ] = None,
    baselines: Annotated[
        Names, typer.Option("--baseline", help="timm models beside the paper's; none to leave them out.")
    ] = None,
    against: Annotated[
        Names, typer.Option(help="Your own model, FILE.py:FACTORY, measured beside ours in the same run.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="Fresh processes for each time; 3, or 1 with --quick.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats; the rows say so.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random order of rounds.")] = 0,
    claims: Annotated[
        bool, typer.Option("--claims/--no-claims", help="Whether to test the paper's claims; some train for minutes.")
    ] = True,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, max=31_536_000, help="Seconds for one job; 900 by default, none for accuracy."),
    ] = None,
    results: Results = Path(RESULTS),
    no_store: Annotated[bool, typer.Option("--no-store", help="Keep nothing on the disk.")] = False,
    json: Annotated[str, typer.Option(help="Write the whole comparison as JSON to a file, or to stdout with -.")] = "",
    resume: Annotated[str, typer.Option(help="Go on with an interrupted run: its id, or latest.")] = "",
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
