"""``bench doctor``: what stands and what is missing on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from claimbench.bench.core.terminal import console, print_json
from claimbench.bench.options import RESULTS, Json, Results

COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}
EXAMPLES = "Examples: `bench doctor`, `bench doctor --json`. Exit status: 0 a run can work, 1 something is broken."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=EXAMPLES)(doctor)


def doctor(results: Results = Path(RESULTS), json: Json = False) -> None:
    """Look at Python, torch, GPU, operators, data, the results folder and the papers."""
    from dataclasses import asdict

    from rich.markup import escape

    from claimbench.bench.doctor import examine

    out = console()
    found = []
    for finding in examine(results):
        found.append(finding)
        if not json:
            state = f"[{COLOURS[finding.state]}]{finding.state:8}[/]"
            out.print(f"{state} {finding.what:18} {escape(finding.text)}", soft_wrap=True)
    healthy = all(finding.state != "broken" for finding in found)
    if json:
        print_json({"healthy": healthy, "findings": [asdict(finding) for finding in found]})
    raise typer.Exit(0 if healthy else 1)
