"""``bench verify``: our model against a golden record of the official one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import SeveralValues
from claimbench.bench.cli.help import HOW, WHAT
from claimbench.bench.cli.options import Device, Json, examples, value, whole
from claimbench.bench.core.terminal import console, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from claimbench.bench.measure.verify import Verified

EXAMPLES = examples(
    "bench verify --golden tests/goldens/overlock/overlock_xt.json",
    "bench verify --golden *.json",
    status="0 parity, 1 a difference, 2 bad input",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", cls=SeveralValues, epilog=EXAMPLES)(verify)


def verify(
    golden: Annotated[
        list[Path], value("--golden", takes="FILE", panel=WHAT, help="Golden files of known papers and variants.")
    ],
    device: Device = "cpu",
    threads: Annotated[
        int,
        value(
            "--threads",
            takes="N",
            panel=HOW,
            help="CPU threads; more than one makes float64 slower.",
            read=whole(1, 1024),
        ),
    ] = 1,
    json: Json = False,
) -> None:
    """Rebuild a golden's weights and input, run our model through the official layout, and compare every output."""
    import os

    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)  # read when torch is loaded
    from claimbench.bench.machine import devices
    from claimbench.bench.measure.verify import verify as check

    out = console()
    results = check(golden, devices.resolve(device), None if json else lambda result: _print(out, result))
    passed = all(result.passed for result in results)
    if json:
        print_json({"passed": passed, "goldens": [result.to_json() for result in results]})
    elif len(results) > 1:
        out.print(f"{sum(result.passed for result in results)} of {len(results)} goldens agree", style="bold")
    raise typer.Exit(0 if passed else 1)


def _print(out: Console, result: Verified) -> None:
    from rich.markup import escape

    from claimbench.bench.measure.verify import reason, rows

    golden = result.golden
    colour = "green" if result.passed else "red"
    title = f"{golden.paper} / {golden.variant}, {golden.dtype}, input {'x'.join(map(str, golden.input_shape))}"
    out.print(f"[bold]{escape(title)}[/]: [{colour}]{'parity' if result.passed else 'NO PARITY'}[/]")
    if result.result is None:
        out.print(f"  {escape(result.problem)}")
        return
    titles = ("Output", "Largest absolute", "Largest relative", "Allowed", "")
    out.print(table(titles, list(rows(result)), out.width, right=titles[1:-1]))
    if reason(golden):
        out.print(f"  {escape(reason(golden))}")
    if None not in (golden.params, result.result.params) and golden.params != result.result.params:
        out.print(f"  our model has {result.result.params} parameters, the official one {golden.params}")
