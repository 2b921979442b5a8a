"""``bench kernels``: lists, checks and times the operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import Command, CommandGroup, SeveralValues
from claimbench.bench.cli.help import HOW, OUTPUT, WHAT
from claimbench.bench.cli.options import (
    RESULTS,
    Device,
    Json,
    NoStore,
    Results,
    Threads,
    examples,
    flag,
    value,
    whole,
)
from claimbench.bench.core.terminal import columns, console, entry, print_json, table

if TYPE_CHECKING:
    from claimbench.bench.measure.operators.bench_rows import BenchRow
    from claimbench.bench.measure.operators.check import CheckRow

Names = list[str] | None
Operators = Annotated[Names, value("--operator", takes="NAME", panel=WHAT, help="Operators by name; else all of them.")]
Backends = Annotated[
    Names, value("--backend", takes="NAME", panel=WHAT, help="reference, native or triton; else all that fit.")
]

kernels = typer.Typer(
    cls=CommandGroup, help="The shared operators: list them, prove them, time them.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(kernels, name="kernels")


@kernels.command("list", cls=Command, epilog=examples("bench kernels list", "bench kernels list --json"))
def list_(json: Json = False) -> None:
    """List the operators, and say which backends can run here and why others cannot."""
    from dataclasses import asdict

    from claimbench.bench.measure.operators.list import list_operators

    found = list_operators()
    if json:
        print_json([asdict(row) for row in found])
        return
    from rich.text import Text

    out = console()
    for row in found:
        out.print(Text(entry(f"{row.signature} ", row.summary, 4), style="bold"))
        for state in row.backends:
            first = f" (first choice on {', '.join(state.preferred_on)})" if state.preferred_on else ""
            says = f"runs here{first}" if state.available else state.reason
            line = entry(f"    {state.backend}", says, 15)
            out.print(Text(line, style="" if state.available else "yellow"))


@kernels.command(
    "check",
    cls=SeveralValues,
    epilog=examples(
        "bench kernels check",
        "bench kernels check --operator depthwise_conv2d --backend native",
        "bench kernels check --golden scan.json",
    ),
)
def check(
    operator: Operators = None,
    backend: Backends = None,
    dtype: Annotated[
        Names,
        value("--dtype", takes="NAME", panel=WHAT, help="float64, float32, float16 or bfloat16; else all four."),
    ] = None,
    golden: Annotated[
        list[Path] | None,
        value("--golden", takes="FILE", panel=WHAT, help="Parts of models in golden files, in the operators' place."),
    ] = None,
    device: Device = "auto",
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Print every case, not only what went wrong.", rich_help_panel=OUTPUT),
    ] = False,
    json: Json = False,
) -> None:
    """Prove each backend against the float64 reference, forward and backward, on odd shapes."""
    from dataclasses import asdict

    from claimbench.bench.core.errors import UserError
    from claimbench.bench.core.text import split
    from claimbench.bench.machine import devices
    from claimbench.bench.measure.operators.check import any_failed, check_all, check_goldens

    def show(row: CheckRow) -> None:
        if verbose or row.status == "failed":
            typer.echo(_check_line(row))

    operators, backends, dtypes = (split(names or ()) or None for names in (operator, backend, dtype))
    listener = None if json else show
    if golden:
        if operators or dtypes:
            raise UserError("--golden names the operators and the dtype itself: leave out --operator and --dtype")
        rows = check_goldens(golden, backends, devices.resolve(device), listener)
    else:
        rows = check_all(operators, backends, dtypes, devices.resolve(device), listener)
    if json:
        print_json({"passed": not any_failed(rows), "checks": [asdict(row) for row in rows]})
    else:
        _print_checks(rows)
    raise typer.Exit(1 if any_failed(rows) else 0)


@kernels.command(
    "bench",
    cls=SeveralValues,
    epilog=examples("bench kernels bench --operator context_mix --threads 2", "bench kernels bench --forward-only"),
)
def bench(
    operator: Operators = None,
    backend: Backends = None,
    dtype: Annotated[
        Names,
        value("--dtype", takes="NAME", panel=WHAT, help="float64, float32, float16 or bfloat16; float32 by default."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    forward_only: Annotated[bool, flag("--forward-only", WHAT, "Leave out the backward pass.")] = False,
    rounds: Annotated[
        int,
        value("--rounds", takes="N", panel=HOW, help="Fresh processes for each problem.", read=whole(1, 100)),
    ] = 3,
    quick: Annotated[
        bool, flag("--quick", HOW, "One process and a second for each problem; nothing is stored.")
    ] = False,
    results: Results = Path(RESULTS),
    no_store: NoStore = False,
    json: Json = False,
) -> None:
    """Time operators against their plain PyTorch form, torch.compile of it, and the machine's roofline."""
    from claimbench.bench.core.text import split
    from claimbench.bench.machine import devices
    from claimbench.bench.measure.operators.bench import bench_all
    from claimbench.bench.measure.operators.kernel_log import KernelLog

    where = devices.resolve(device)
    log = None if no_store or quick else KernelLog.begin(results, where)

    def on_row(row: BenchRow) -> None:
        if log is not None:
            log.add(row)
        if not json:
            typer.echo(_bench_line(row))

    rows = bench_all(
        split(operator or ()) or None,
        split(backend or ()) or (["native"] if where == "cpu" else ["triton"]),
        split(dtype or ()) or ("float32",),
        where,
        threads,
        backward=not forward_only,
        processes=1 if quick else rounds,
        seconds=1.0 if quick else 5.0,
        on_row=on_row,
    )
    if json:
        print_json([row.to_json() for row in rows])
    raise typer.Exit(1 if any(row.status == "failed" for row in rows) else 0)


def _check_line(row: CheckRow) -> str:
    worst = row.worst
    says = f"{worst.tensor} {worst.relative:.1e} of {worst.tolerance:.1e}" if worst else ""
    where = f"{row.operator} {row.backend}{' (interpreted)' if row.interpreted else ''} {row.dtype} {row.case}"
    return f"{row.status:8} {where}  {row.reason or says}"


def _print_checks(rows: list[CheckRow]) -> None:
    """Print a line for each operator and backend: the numbers of checks, and the error nearest to its tolerance."""
    from itertools import groupby

    found = []
    for (name, backend), group in groupby(rows, key=lambda row: (row.operator, row.backend)):
        listed = list(group)
        counts = [sum(row.status == status for row in listed) for status in ("passed", "failed", "refused")]
        tried = [row for row in listed if row.worst]
        says = next((row.reason for row in listed if row.status == "refused"), "")
        if tried:
            closest = max(tried, key=lambda row: row.worst.relative / row.worst.tolerance if row.worst else 0.0)
            assert closest.worst is not None
            says = (
                f"{closest.worst.relative / closest.worst.tolerance:.2f} of it: {closest.worst.tensor}, {closest.dtype}"
            )
        how = f"{backend} (interpreted)" if any(row.interpreted for row in listed) else backend
        found.append((name, how, *map(str, counts), says))
    titles = ("Operator", "Backend", "Passed", "Failed", "Refused", "Closest to its tolerance")
    console().print(table(titles, found, columns()))


def _bench_line(row: BenchRow) -> str:
    name = f"{row.operator:24} {row.case:34} {row.dtype:9} {row.direction:17} {row.implementation:15}"
    if row.seconds is None:
        return f"{name} {row.status}: {row.reason}"
    memory = f"+{row.memory / 2**20:7.1f} MiB" if row.memory is not None else " " * 12
    roof = f"{row.roofline_fraction:6.1%} of roofline ({row.bound})" if row.roofline_fraction else ""
    speed = f"{row.speedup.ratio:.2f}x {row.speedup.baseline} ({row.speedup.verdict})" if row.speedup else ""
    return f"{name} {row.seconds * 1e3:9.3f} ms {memory} {roof}  {speed}"
