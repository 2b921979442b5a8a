"""``bench results``: takes in the measurements of others, without trusting them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from claimbench.bench.cli.command import Command, CommandGroup
from claimbench.bench.cli.options import RESULTS, WHAT, Json, Results, examples, flag
from claimbench.bench.cli.progress import shown
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import entry, print_json

if TYPE_CHECKING:
    from claimbench.bench.publish.submission.check import Verdict

CHECK = examples(
    "bench results check mine.jsonl",
    "bench results check *.jsonl --json",
    status="0 all are good, 1 one is refused, 2 one cannot be read at all",
)
ADD = examples("bench results add theirs.jsonl", status="0 it is stored, 1 it is refused, 2 it cannot be read")
RULES = examples("bench results rules", "bench results rules --json")

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Submissions, as `bench submit` writes them.")]
WithCode = Annotated[
    bool, flag("--with-code", WHAT, "Run the code of papers that came with a file: only if you trust it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=CommandGroup, no_args_is_help=True, help="Take in results that others have measured (`bench submit`)."
    )
    group.command("check", cls=Command, epilog=CHECK)(check)
    group.command("add", cls=Command, epilog=ADD)(add)
    group.command("rules", cls=Command, epilog=RULES)(rules)
    app.add_typer(group, name="results")


def check(files: Files, with_code: WithCode = False, json: Json = False) -> None:
    """Say of each file whether it would be taken, and if not why, a line a reason."""
    verdicts, unreadable = _judge(files, with_code)
    if json:
        print_json({"good": not unreadable and all(v.good for v in verdicts), "files": [_plain(v) for v in verdicts]})
    else:
        for verdict in verdicts:
            _print(verdict)
    _end(verdicts, unreadable)


def add(files: Files, with_code: WithCode = False, results: Results = Path(RESULTS), json: Json = False) -> None:
    """Check files, and put those that are good into the store; one that is there already is left as it is."""
    from claimbench.bench.publish.submission.take_in import take_in

    verdicts, unreadable = _judge(files, with_code)
    taken = [take_in(verdict, results) for verdict in verdicts]
    if json:
        good = not unreadable and all(verdict.good for verdict, _ in taken)
        print_json({"good": good, "files": [{**_plain(verdict), "added": new} for verdict, new in taken]})
    else:
        for verdict, new in taken:
            _print(verdict)
            if verdict.good:
                typer.echo(f"{verdict.file}: {'added to' if new else 'already in'} {results}")
    _end([verdict for verdict, _ in taken], unreadable)


def rules(json: Json = False) -> None:
    """List what is checked: every rule by the name that stands behind its reasons."""
    from claimbench.bench.publish.submission.check import sentences

    if json:
        print_json(sentences())
        return
    for name, sentence in sentences().items():
        typer.echo(entry(name, sentence, 27))


def _judge(files: Iterable[Path], with_code: bool) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts, and a sentence for each file that could not be read at all."""
    from claimbench.bench.publish.submission.check import Checker

    verdicts, unreadable = [], []
    with shown() as listener, listener.begin("reading") as part:
        checker = Checker(part, with_code=with_code)
        for file in files:
            try:
                verdicts.append(checker.check(file))
            except UserError as error:
                unreadable.append(str(error))
    return verdicts, unreadable


def _print(verdict: Verdict) -> None:
    for reason in verdict.reasons:
        typer.echo(f"{verdict.file}: {reason}")
    submission = verdict.submission
    if verdict.reasons or submission is None:
        count = len(verdict.reasons)
        typer.echo(f"{verdict.file}: refused, {count} reason{'' if count == 1 else 's'}")
        return
    header = submission.header
    typer.echo(f"{verdict.file}: good, run {header.run} on {header.device}, {len(submission.entries)} records")
    for note in verdict.notes:
        typer.echo(f"{verdict.file}: note: {note}")


def _plain(verdict: Verdict) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": verdict.file,
        "good": verdict.good,
        "run": None if verdict.submission is None else verdict.submission.header.run,
        "reasons": [asdict(reason) for reason in verdict.reasons],
        "notes": list(verdict.notes),
    }


def _end(verdicts: Iterable[Verdict], unreadable: list[str]) -> None:
    """End with the exit status of the worst file."""
    for problem in unreadable:
        typer.echo(f"bench: {problem}", err=True)
    raise typer.Exit(2 if unreadable else 0 if all(v.good for v in verdicts) else 1)
