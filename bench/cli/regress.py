"""``bench regress``: did anything get slower, larger or wrong, and since when?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import Command
from claimbench.bench.cli.help import HOW, OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Json,
    Results,
    complete_metrics,
    complete_papers,
    examples,
    flag,
    number,
    value,
    whole,
)
from claimbench.bench.core.terminal import console, print_json

if TYPE_CHECKING:
    from claimbench.bench.watch.regress.bisect import Bisected, Bisection
    from claimbench.bench.watch.regress.findings import RegressionReport

EXAMPLES = examples(
    "bench regress --baseline 1a2b3c4",
    "bench regress --baseline main --candidate latest --markdown summary.md",
    "bench regress --baseline last-week/results --candidate results --across versions",
    "bench regress --bisect --good v1.0 --bad HEAD --paper overlock --metrics flops,latency",
    "bench regress --bisect --good v1.0 --bad HEAD -- python slow.py",
)
SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file to which GitHub's runners want a job's summary appended."""

REF = "A run, latest, a commit, a file of records or a folder of results."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("regress", cls=Command, epilog=EXAMPLES)(regress)


def regress(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="After --, with --bisect: what to run. It may store records, print figures as JSON "
            "({'latency': 0.02}) on its last line, or just take its time.",
        ),
    ] = None,
    baseline: Annotated[str, value("--baseline", takes="SET", panel=WHAT, help=f"What to compare with. {REF}")] = "",
    candidate: Annotated[str, value("--candidate", takes="SET", panel=WHAT, help=f"What is judged. {REF}")] = "latest",
    paper: Annotated[
        list[str] | None,
        value(
            "--paper",
            takes="PAPER",
            panel=WHAT,
            help="Compare (or measure, with --bisect) only these papers.",
            complete=complete_papers,
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        value(
            "--metrics",
            takes="NAME",
            panel=WHAT,
            help="With --bisect: what to measure of the papers.",
            complete=complete_metrics,
        ),
    ] = None,
    across: Annotated[
        list[str] | None,
        value(
            "--across",
            takes="NAME",
            panel=HOW,
            help="What may differ: machine, versions, or a setting like precision; else like with like only.",
        ),
    ] = None,
    bisect: Annotated[bool, flag("--bisect", HOW, "Name the first bad commit between --good and --bad.")] = False,
    good: Annotated[
        str, value("--good", takes="COMMIT", panel=HOW, help="With --bisect: a commit where all was well.")
    ] = "",
    bad: Annotated[
        str, value("--bad", takes="COMMIT", panel=HOW, help="With --bisect: a later one where it was not.")
    ] = "HEAD",
    repo: Annotated[Path, value("--repo", takes="FOLDER", panel=HOW, help="With --bisect: the repository.")] = Path(),
    build: Annotated[
        str,
        value(
            "--build", takes="COMMAND", panel=HOW, help="With --bisect: a shell command that makes each commit ready."
        ),
    ] = "",
    rounds: Annotated[
        int,
        value(
            "--rounds",
            takes="N",
            panel=HOW,
            help="With --bisect: runs of each side before the first judgement.",
            read=whole(3, 100),
        ),
    ] = 3,
    timeout: Annotated[
        float,
        value(
            "--timeout",
            takes="SECONDS",
            panel=HOW,
            help="With --bisect: for one run.",
            read=number(0.1, 31_536_000),
        ),
    ] = 3600.0,
    markdown: Annotated[
        Path | None,
        value(
            "--markdown",
            takes="FILE",
            panel=OUTPUT,
            help="Write a summary for a pull request to a file, or to stdout with -.",
        ),
    ] = None,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Compare two sets of records and say what got slower, larger or wrong, and whether the code can be the cause."""
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.core.text import split
    from claimbench.bench.watch.regress.comparison import compare_named

    if bisect:
        raise typer.Exit(_bisect(_task(command, good, bad, paper, metrics, repo, build, rounds, timeout), json))
    if command or good or metrics:
        raise UserError("a command, --good and --metrics belong to --bisect")
    if not baseline:
        raise UserError("say what to compare with: --baseline takes a run, a commit, a file of records or a folder")
    if markdown is not None and str(markdown) != "-" and (markdown.is_dir() or not markdown.parent.is_dir()):
        raise UserError(f"{markdown} cannot be written: it is a folder, or its folder does not exist")
    outcome = compare_named(baseline, candidate, results, split(across or ()), split(paper or ()))
    _print(outcome, markdown, json)
    raise typer.Exit(outcome.status())


def _print(outcome: RegressionReport, markdown: Path | None, json: bool) -> None:
    """Print a comparison in the ways that were asked for."""
    from claimbench.bench.store.jsonl import write_whole
    from claimbench.bench.watch.regress import wording
    from claimbench.bench.watch.regress.markdown import render
    from claimbench.bench.watch.regress.terminal import show

    page = render(outcome)
    if markdown is not None and str(markdown) != "-":
        write_whole(markdown, page.encode())
    if os.environ.get(SUMMARY):
        with Path(os.environ[SUMMARY]).open("a", encoding="utf-8") as file:
            file.write(page)
    if json:
        print_json(wording.as_json(outcome))
    elif str(markdown) == "-":
        typer.echo(page, nl=False)
    else:
        show(outcome, console())
    for problem in outcome.problems:
        typer.echo(f"bench: {problem}", err=True)


def _task(
    command: list[str] | None,
    good: str,
    bad: str,
    paper: list[str] | None,
    metrics: list[str] | None,
    repo: Path,
    build: str,
    rounds: int,
    timeout: float,
) -> Bisection:
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.core.text import split
    from claimbench.bench.watch.regress.bisect import Bisection, command_of

    if not good:
        raise UserError("say where all was well: --good takes a commit")
    run = command_of(command or (), split(paper or ()), split(metrics or ()))
    return Bisection(repo, good, bad, run, build, rounds, timeout)


def _bisect(task: Bisection, json: bool) -> int:
    """Bisect, print the result, and return the exit status: 1 if several commits are left."""
    from claimbench.bench.cli.progress import shown
    from claimbench.bench.watch.regress.bisect import as_json, bisect

    with shown() as listener:
        found = bisect(task, listener)
    if json:
        print_json(as_json(found))
    else:
        _print_bisected(task, found)
    return 0 if found.first_bad else 1


def _print_bisected(task: Bisection, found: Bisected) -> None:
    from claimbench.bench.watch.regress.worktree import describe

    if found.first_bad:
        typer.echo(f"first bad commit: {found.first_bad}")
        typer.echo(describe(task.repository, found.first_bad))
        return
    typer.echo("the first bad commit is one of these; those between could not be told or did not run:")
    for commit in found.possible:
        typer.echo(f"  {describe(task.repository, commit)}")
