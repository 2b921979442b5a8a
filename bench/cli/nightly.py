"""``bench nightly``: the command of the nightly workflow, on a runner or by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import HOW, OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Device,
    Json,
    Named,
    Papers,
    Results,
    complete_metrics,
    complete_variants,
    examples,
    filled,
    flag,
    named,
    value,
    whole,
)
from claimbench.bench.cli.regress import SUMMARY
from claimbench.bench.core.terminal import print_json

if TYPE_CHECKING:
    from claimbench.bench.core.listener import Listener
    from claimbench.bench.store.night_files import Night
    from claimbench.bench.watch.nightly.night import Result
    from claimbench.bench.watch.regress.findings import RegressionReport

EXAMPLES = examples(
    "bench nightly --budget 2h",
    "bench nightly overlock --metrics latency --budget 20m",
    "bench nightly --budget 8h --device cuda --issue",
    "bench nightly --accept",
)
Names = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("nightly", cls=SeveralValues, epilog=EXAMPLES)(nightly)


def nightly(
    names: Named = None,
    papers: Papers = None,
    variants: Annotated[
        Names,
        value(
            "--variant",
            takes="NAME",
            panel=WHAT,
            help="Variants; else the papers' default ones.",
            complete=complete_variants,
        ),
    ] = None,
    metrics: Annotated[
        Names,
        value(
            "--metrics",
            "--metric",
            takes="NAME",
            panel=WHAT,
            help="Metrics; else all.",
            complete=complete_metrics,
        ),
    ] = None,
    baselines: Annotated[
        Names,
        value("--baseline", takes="NAME", panel=WHAT, help="timm models beside the papers'; none to leave them out."),
    ] = None,
    budget: Annotated[
        str,
        value(
            "--budget", takes="TIME", panel=HOW, help="How long it may take: 45m, 2h, 1h30m; without one all is run."
        ),
    ] = "",
    device: Device = "auto",
    precision: Annotated[
        Names, value("--precision", takes="NAME", panel=HOW, help="fp32, tf32, bf16 or fp16; fp32 by default.")
    ] = None,
    mode: Annotated[
        Names, value("--mode", takes="NAME", panel=HOW, help="eager, compile or cudagraph; eager by default.")
    ] = None,
    rounds: Annotated[
        int | None,
        value("--rounds", takes="N", panel=HOW, help="Fresh processes for each time; 3.", read=whole(1, 100)),
    ] = None,
    new: Annotated[bool, flag("--new", HOW, "Give up a night that was cut off, and start another.")] = False,
    accept: Annotated[
        bool, flag("--accept", HOW, "Measure nothing: take the last night as good, whatever it found.")
    ] = False,
    issue: Annotated[
        bool,
        flag("--issue", OUTPUT, "Open, update or close one issue through GitHub's `gh`, for the workflow."),
    ] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Measure what is most out of date, compare it with the last good night, and sum up.

    A night that was cut off goes on where it was. Exit status: 0 nothing got worse and nothing failed, 1 something did.
    """
    given = locals()
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.machine.process import Stop
    from claimbench.bench.run.request import RunRequest
    from claimbench.bench.watch.nightly.night import Asked, run_night

    if accept:
        _accept(results, device)
        return
    request = filled(RunRequest, {**given, "papers": named(names, papers) or ["all"]})

    with Stop() as stop, shown() as listener:

        def finish(night: Night, outcome: RegressionReport | None) -> None:
            _finish(night, outcome, results, listener if issue else None)

        result = run_night(Asked(request, budget), results, stop, finish, listener, new)
    _print(result, json)
    raise typer.Exit(result.status)


def _accept(results: Path, device: str) -> None:
    from claimbench.bench.machine import devices, environment
    from claimbench.bench.watch.nightly.night import accept

    night = accept(results, environment.device_name(devices.resolve(device)))
    typer.echo(f"night {night.night} counts as good: the next one is compared with it")


def _finish(night: Night, outcome: RegressionReport | None, results: Path, listener: Listener | None) -> None:
    """Write the summary, and the issue if a listener to tell of it is given."""
    from claimbench.bench.store.jsonl import write_whole
    from claimbench.bench.store.night_files import file_of
    from claimbench.bench.watch.nightly import issue as issues
    from claimbench.bench.watch.nightly.markdown import render

    page = render(night, outcome)
    write_whole(file_of(results, night).with_suffix(".md"), page.encode())
    if os.environ.get(SUMMARY):
        with Path(os.environ[SUMMARY]).open("a", encoding="utf-8") as file:
            file.write(page)
    if listener is not None:
        issues.report(night, page, listener)


def _print(result: Result, json: bool) -> None:
    """Print the end of a night."""
    from claimbench.bench.watch.regress import wording

    night = result.night
    if json:
        comparison = None if result.outcome is None else wording.as_json(result.outcome)
        print_json({**vars(night), "exit_status": result.status, "comparison": comparison})
    if result.status == 130 or result.problem:
        why = result.problem or "interrupted"
        _say(f"{why}: {result.jobs_left} jobs of night {night.night} are left; the same command goes on with them")
        return
    if json:
        return
    typer.echo(f"night {night.night}: {night.summary}")
    for line in night.regressions:
        typer.echo(f"  {line}")
    for line in night.failed:
        typer.echo(f"  failed: {line}")
    for paper, subject, metric, _, why in night.left:
        typer.echo(f"  left out: {' '.join(part for part in (paper, subject, metric) if part)}: {why}")


def _say(line: str) -> None:
    typer.echo(f"bench: {line}", err=True)
