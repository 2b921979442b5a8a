"""A comparison on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claimbench.bench.core.terminal import table
from claimbench.bench.watch.regress import wording
from claimbench.bench.watch.regress.findings import RegressionReport

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"Regressions": "red", "Improvements": "green", "Cannot tell": "yellow"}


def show(outcome: RegressionReport, out: Console) -> None:
    """Print a comparison."""
    from rich.markup import escape

    style = "red" if outcome.regressions else "yellow" if outcome.unsettled else "green"
    out.print(f"[bold {style}]{escape(outcome.sentence())}[/]")
    for line in (*wording.causes(outcome), *filter(None, [wording.machine(outcome)])):
        out.print(escape(line))
    for title, findings in wording.sections(outcome):
        out.print(f"\n[bold {_STYLES[title]}]{title}[/]")
        out.print(table(wording.TITLES, [wording.cells(finding) for finding in findings], out.width))
    left = wording.unmatched(outcome)
    if left:
        out.print("\n[bold]Not comparable[/]")
        for line in left:
            out.print(f"  {escape(line)}")
    out.print(f"\n[dim]{escape(wording.RULES)}[/]")
