"""``bench study``: trains a paper's block and its counterpart side by side on a small real data set."""

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
    Papers,
    Results,
    Threads,
    examples,
    filled,
    flag,
    named,
    value,
    whole,
)
from claimbench.bench.cli.progress import shown
from claimbench.bench.core.terminal import console

if TYPE_CHECKING:
    from claimbench.bench.machine.process import Stop
    from claimbench.bench.training.study.plan import StudyPlan
    from claimbench.bench.training.study.request import StudyRequest
    from claimbench.bench.training.study.study_run import StudyEnded

EXAMPLES = examples(
    "bench study van --quick",
    "bench study all --devices 0,1",
    "bench study van --seeds 10-14",
    "bench study --baseline resnet18",
    "bench study --resume latest",
)
Names = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("study", cls=SeveralValues, epilog=EXAMPLES)(study)


def study(
    names: Named = None,
    papers: Papers = None,
    baselines: Annotated[
        Names, value("--baseline", takes="NAME", panel=WHAT, help="Networks to train alone: resnet18.")
    ] = None,
    quick: Annotated[
        bool, flag("--quick", HOW, "A few minutes a paper on two cores; what is done without a GPU.")
    ] = False,
    default: Annotated[
        bool, flag("--default", HOW, "About an hour a paper on a GPU; what is done there unless you say.")
    ] = False,
    full: Annotated[bool, flag("--full", HOW, "More seeds and epochs than that.")] = False,
    seeds: Annotated[
        Names, value("--seeds", takes="N", panel=HOW, help="How many (5), a range (10-14) or a list (3,7,9).")
    ] = None,
    epochs: Annotated[
        int | None,
        value("--epochs", takes="N", panel=HOW, help="Epochs of each training.", read=whole(1, 100_000)),
    ] = None,
    device: Device = "auto",
    devices: Annotated[
        Names,
        value(
            "--devices",
            takes="DEVICE",
            panel=HOW,
            help="Devices to train on side by side, one training on each: 0,1 or cpu,cpu.",
        ),
    ] = None,
    threads: Threads = None,
    resume: Annotated[
        str, value("--resume", takes="STUDY", panel=HOW, help="Go on with an interrupted study: its id, or latest.")
    ] = "",
    dataset: Annotated[
        str,
        value(
            "--dataset",
            takes="NAME",
            panel=DATA,
            help="fashion-mnist, elpv or digits; else the paper's own choice.",
        ),
    ] = "",
    data: Annotated[
        Path | None, value("--data", takes="FOLDER", panel=DATA, help="Folder of Fashion-MNIST's four files.")
    ] = None,
    results: Results = Path(RESULTS),
    json: JsonFile = "",
) -> None:
    """Train a paper's block and its counterpart at equal parameters, with several seeds, and say whether it helps."""
    given = {**locals(), "papers": named(names, papers) or None}
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.core.terminal import check_output
    from claimbench.bench.machine.process import Interrupted, Stop
    from claimbench.bench.training.study.plan import STUDIES
    from claimbench.bench.training.study.request import StudyRequest
    from claimbench.bench.training.study.setting import EFFORTS

    efforts = [name for name, asked in (("quick", quick), ("default", default), ("full", full)) if asked]
    if len(efforts) > 1:
        raise UserError(f"--{efforts[0]} and --{efforts[1]} exclude each other")
    effort = next((name for name in EFFORTS if name in efforts), None)
    request = filled(StudyRequest, {**given, "effort": effort})
    check_output(json)
    with Stop() as stop:
        if not resume:
            try:
                plan = _make(request, stop)
            except Interrupted:
                raise KeyboardInterrupt from None
        elif request != StudyRequest():
            raise UserError(
                "a resumed study keeps the plan it began with: leave out all options but --results and --json"
            )
        else:
            plan = STUDIES.load(results, resume)
        ended = _run(plan, results, stop, bool(resume))
    raise typer.Exit(_report(ended, results, json))


def _make(request: StudyRequest, stop: Stop) -> StudyPlan:
    """Make the plan, and show the progress of the checks."""
    from claimbench.bench.training.study.plan import make

    with shown() as listener, listener.begin("making the plan") as part:
        return make(request, stop, part)


def _run(plan: StudyPlan, results: Path, stop: Stop, resumed: bool) -> StudyEnded:
    """Print the plan, and carry it out."""
    from claimbench.bench.training.study import study_run
    from claimbench.bench.training.study.setting import Setting

    settings = dict.fromkeys(
        f"{job.options.setting['dataset']}, {Setting.from_json(job.options.setting).says()}" for job in plan.jobs
    )
    what = f"{len(plan.jobs)} trainings on {', '.join(plan.slots)}"
    typer.echo(f"{'resuming' if resumed else 'starting'} study {plan.run} in {results}: {what}", err=True)
    for line in settings:
        typer.echo(f"  {line}", err=True)
    with shown() as listener:
        return study_run.run(plan, results, stop, listener, resumed=resumed)


def _report(ended: StudyEnded, results: Path, json: str) -> int:
    """Print the results, and return the exit status."""
    from claimbench.bench.core.terminal import write_json
    from claimbench.bench.report import study
    from claimbench.bench.report.study import study_of

    status = ended.status()
    if json:
        found = {
            "run": ended.run,
            "interrupted": ended.interrupted,
            "left": ended.left,
            "failed": list(ended.failed),
            "without": list(ended.without),
            "studies": [study.to_json(summary) for summary in ended.summaries],
        }
        status = write_json(found, json) or status
    if json != "-":
        console().print(study.renderable(ended.summaries, study_of))
    for sentence in (*(f"not studied: {text}" for text in ended.without), *ended.failed):
        typer.echo(f"bench: {sentence}", err=True)
    if ended.left:
        hint = f"bench study --resume {ended.run}" + (f" --results {results}" if str(results) != RESULTS else "")
        how = "interrupted" if ended.interrupted else "ended"
        typer.echo(f"bench: {how} with {ended.left} of {ended.of} trainings left; go on with: {hint}", err=True)
    return status
