"""``bench submit``: one run's records as a file that can be handed in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import Command
from claimbench.bench.cli.help import OUTPUT, WHAT
from claimbench.bench.cli.options import RESULTS, Json, Results, examples, flag, value
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import entry, print_json

if TYPE_CHECKING:
    from claimbench.bench.publish.submission.pack import Packed

EXAMPLES = examples(
    "bench submit --run latest --out mine.jsonl",
    "bench submit --run latest --dry-run",
    "bench submit --run latest --out mine.jsonl.gz --name 'A. Lab'",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit", cls=Command, epilog=EXAMPLES)(submit)


def submit(
    run: Annotated[str, value("--run", takes="RUN", panel=WHAT, help="The run's id, or latest.")] = "latest",
    out: Annotated[
        Path | None,
        value("--out", takes="FILE", panel=OUTPUT, help="The file to write; one that ends in .gz is compressed."),
    ] = None,
    name: Annotated[
        str,
        value(
            "--name", takes="NAME", panel=OUTPUT, help="Who hands it in, as you want to be called; by default nobody."
        ),
    ] = "",
    dry_run: Annotated[bool, flag("--dry-run", OUTPUT, "Show what would leave this machine; write nothing.")] = False,
    with_paper: Annotated[
        bool, flag("--with-paper", WHAT, "Pack the files of papers that are not this suite's own too.")
    ] = False,
    results: Results = Path(RESULTS),
    json: Json = False,
) -> None:
    """Pack a run with its environment, plan and samples into one file, without names of folders, users and hosts.

    `bench results check FILE` says whether it would be taken.
    """
    from claimbench.bench.publish.submission.pack import pack, write

    if out is None and not dry_run:
        raise UserError("say where to write with --out FILE, or look first with --dry-run")
    packed = pack(results, run, name, with_paper)
    if out is not None and not dry_run:
        write(out, packed.data)
    if json:
        print_json(packed.summary(None if dry_run else out))
        return
    _print(packed, None if dry_run else out, dry_run)


def _print(packed: Packed, out: Path | None, everything: bool) -> None:
    rows = [
        ("run", packed.run),
        ("device", packed.device),
        ("records", f"{packed.records}, and {packed.samples} lines of samples, {len(packed.data):,} bytes"),
        ("left out", ", ".join(packed.left_out) or "nothing"),
        ("shortened", ", ".join(packed.shortened) or "no paths"),
    ]
    for paper in packed.papers_from_elsewhere:
        hint = "its files are packed as they stand" if packed.with_papers else "--with-paper packs its files too"
        rows.append(("paper", f"{paper} is not one of this suite's: {hint}"))
    for title, text in rows:
        typer.echo(entry(title, text, 11))
    if everything:
        typer.echo("What would leave this machine: the file's lines, records and samples in full.")
        typer.echo(packed.data.decode(), nl=False)
    if out is not None:
        typer.echo(f"wrote {out}: `bench results check {out}` says whether it would be taken")
