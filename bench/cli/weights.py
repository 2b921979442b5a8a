"""``bench weights``: the official weights, where they are published and whether those in the cache are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import CommandGroup, SeveralValues
from claimbench.bench.cli.help import DATA, HOW, WHAT
from claimbench.bench.cli.options import (
    Json,
    Named,
    Papers,
    complete_variants,
    examples,
    flag,
    named,
    number,
    value,
    whole,
)
from claimbench.bench.core.terminal import console, entry, print_json, table

if TYPE_CHECKING:
    from claimbench.bench.papers.weights.check import WeightsCheck
    from claimbench.bench.papers.weights.fetch_many import Fetched
    from claimbench.bench.papers.weights.inventory import Listed

Variants = Annotated[
    list[str] | None,
    value("--variant", takes="NAME", panel=WHAT, help="Variants by name; else all.", complete=complete_variants),
]
Cache = Annotated[
    Path | None,
    value(
        "--cache",
        takes="FOLDER",
        panel=DATA,
        help="Folder of the cache; else BENCH_WEIGHTS, else claimbench/weights in the user's cache folder.",
    ),
]

weights = typer.Typer(cls=CommandGroup, help="The official weights: list, fetch and check them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(weights, name="weights")


@weights.command("list", cls=SeveralValues, epilog=examples("bench weights list", "bench weights list van"))
def list_(
    names: Named = None, paper: Papers = None, variant: Variants = None, cache: Cache = None, json: Json = False
) -> None:
    """Say for each variant where its official weights are published, and whether they are here."""
    from dataclasses import asdict

    from claimbench.bench.data.download.cache import folder
    from claimbench.bench.papers.weights.choice import choose
    from claimbench.bench.papers.weights.inventory import listed

    root = folder(cache)
    rows = listed(choose(named(names, paper), variant or ()), root)
    if json:
        print_json({"cache": str(root), "weights": [asdict(row) for row in rows]})
    else:
        _print_list(rows, root)


@weights.command(
    "fetch",
    cls=SeveralValues,
    epilog=examples(
        "bench weights fetch van",
        "bench weights fetch overlock --variant overlock_t",
        status="0 all are here, 1 some are not, 2 bad input, 130 interrupted (the next fetch goes on from there)",
    ),
)
def fetch(
    names: Named = None,
    paper: Papers = None,
    variant: Variants = None,
    offline: Annotated[bool, flag("--offline", DATA, "Use no network; only verify what is here.")] = False,
    cache: Cache = None,
    timeout: Annotated[
        float,
        value(
            "--timeout",
            takes="SECONDS",
            panel=HOW,
            help="Without a byte, after which a connection is given up.",
            read=number(0.1, 1e6),
        ),
    ] = 20.0,
    attempts: Annotated[
        int,
        value(
            "--attempts",
            takes="N",
            panel=HOW,
            help="Attempts in a row that may bring nothing new.",
            read=whole(1, 100),
        ),
    ] = 5,
    json: Json = False,
) -> None:
    """Bring official weights into the cache, record their SHA-256 at the first time, and verify them ever after."""
    from dataclasses import asdict

    from claimbench.bench.cli.progress import shown
    from claimbench.bench.data.download.cache import folder
    from claimbench.bench.data.download.download import Patience
    from claimbench.bench.papers.weights.choice import choose
    from claimbench.bench.papers.weights.fetch import Fetcher
    from claimbench.bench.papers.weights.fetch_many import fetch_all

    chosen = choose(named(names, paper), variant or ())
    with shown() as listener:
        fetcher = Fetcher(folder(cache), offline, Patience(attempts=attempts, stall_s=timeout), listener)
        rows = fetch_all(fetcher, chosen, every=bool(variant), on_row=None if json else _print_fetched)
    failed = sum(not row.ok for row in rows)
    if json:
        print_json({"cache": str(fetcher.root), "weights": [asdict(row) for row in rows]})
    else:
        typer.echo(f"{len(rows) - failed} of {len(rows)} files are in {fetcher.root}, verified")
    raise typer.Exit(1 if failed else 0)


@weights.command(
    "check",
    cls=SeveralValues,
    epilog=examples(
        "bench weights check",
        "bench weights check van",
        status="0, or 1 where a file is not the recorded one or does not load",
    ),
)
def check(
    names: Named = None, paper: Papers = None, variant: Variants = None, cache: Cache = None, json: Json = False
) -> None:
    """Prove the cached files: each has the recorded SHA-256 and loads strictly into the paper's model."""
    from dataclasses import asdict

    from claimbench.bench.data.download.cache import folder
    from claimbench.bench.papers.weights.check import FAILED
    from claimbench.bench.papers.weights.check import check as run
    from claimbench.bench.papers.weights.choice import choose

    root = folder(cache)
    rows = run(choose(named(names, paper), variant or ()), root, None if json else _print_checked)
    failed = any(row.status == FAILED for row in rows)
    if json:
        print_json({"cache": str(root), "passed": not failed, "weights": [asdict(row) for row in rows]})
    else:
        _print_summary(rows, root)
    raise typer.Exit(1 if failed else 0)


def _print_list(rows: list[Listed], root: Path) -> None:
    """Print a line for each published file, then the variants without one, then the content of the cache."""
    from itertools import groupby

    from rich.text import Text

    from claimbench.bench.data.download.cache import size_text
    from claimbench.bench.papers.weights.inventory import BY_HAND, HERE, NONE, UNUSABLE

    out = console()
    published = [row for row in rows if row.status != NONE]
    cells = []
    for row in published:
        size = size_text(row.size) if row.size else ""
        status = Text(row.status, style="green" if row.status == HERE else "")
        cells.append((row.paper, row.variant, status, size, row.sha256[:12]))
    if published:
        out.print(table(("Paper", "Variant", "Status", "Size", "SHA-256"), cells, out.width, right=("Size",)))
        out.print("\nPublished at", style="bold")
    for row in published:
        note = f" ({row.note})" if row.note else ""
        out.print(Text(entry(f"{row.variant} ", row.address + note, 4)))
    for paper, group in groupby((row for row in rows if row.status == NONE), key=lambda row: row.paper):
        out.print(Text(f"none published: {paper}: {', '.join(row.variant for row in group)}"))
    counts = {status: sum(row.status == status for row in published) for status in (HERE, BY_HAND, UNUSABLE)}
    says = [f"{counts[HERE]} of {len(published) - counts[UNUSABLE]} files are in {root}"]
    if counts[BY_HAND]:
        says.append(f"{counts[BY_HAND]} can be fetched by hand only: `bench weights fetch --variant NAME` says how")
    out.print("; ".join(says), markup=False)


def _print_fetched(row: Fetched) -> None:
    from claimbench.bench.data.download.cache import size_text

    name = f"{row.paper}/{row.variant}"
    if row.ok:
        typer.echo(f"{row.news:9} {name:44} {size_text(row.size):>9}  {row.sha256[:12]}  {row.file}")
    else:
        typer.echo(f"bench: {row.reason}", err=True)


def _print_checked(row: WeightsCheck) -> None:
    from claimbench.bench.papers.weights.check import ABSENT, NONE

    if row.status not in (ABSENT, NONE):
        head = f"{row.status:13} {row.paper}/{row.variant}  {row.sha256[:12]}"
        typer.echo(entry(head, row.reason, 14) if row.reason else head)


def _print_summary(rows: list[WeightsCheck], root: Path) -> None:
    from claimbench.bench.papers.weights.check import ABSENT, NONE

    here = [row for row in rows if row.status not in (ABSENT, NONE)]
    for status, says in ((ABSENT, "not here"), (NONE, "none published")):
        names = [f"{row.paper}/{row.variant}" for row in rows if row.status == status]
        if names:
            typer.echo(f"{says}: {', '.join(names)}")
    typer.echo(f"{len(here)} of {len(rows)} variants have weights in {root}")
