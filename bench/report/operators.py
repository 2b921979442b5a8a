"""The table of the measured times of the shared operators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from claimbench.bench.measure.operators.kernel_log import newest
from claimbench.bench.report.render.markdown import escape
from claimbench.bench.store.store import Store

TITLES = ("Operator", "Problem", "Pass", "Implementation", "Time", "Peak memory", "Of roofline", "Speed", "Against")


def page(root: Path, device: str) -> str:
    """Return the newest rows as a Markdown page: each backend against the fastest form of plain PyTorch."""
    rows = newest(root, device)
    cells = [[escape(cell) for cell in _cells(row)] for row in rows if row.get("implementation") != "compiled"]
    table = tabulate(cells, headers=TITLES, tablefmt="pipe", disable_numparse=True)
    software = sorted({_setup(root, row) for row in rows})
    legend = (
        "Times are medians over fresh processes in which all implementations take turns; a speed of 2 means twice as "
        "fast as the fastest of plain PyTorch, torch.compile of it, and its other memory format. The share of the "
        "roofline is the time that the machine's measured peaks allow over the time it took."
    )
    lists = "\n".join(f"- {escape(line)}" for line in software)
    return f"# Operators on {escape(device)}\n\n{legend}\n\n{table}\n\n## How it was measured\n\n{lists}\n"


def _cells(row: dict[str, Any]) -> Iterator[str]:
    strongest = next((a for a in row.get("against") or () if a["baseline"] == row.get("strongest")), None)
    yield str(row["operator"])
    yield f"{row['case']}, {row['dtype']}"
    yield str(row["direction"])
    yield str(row["implementation"])
    if row.get("seconds") is None:
        yield from (f"{row['status']}: {row['reason']}", "", "", "", "")
        return
    yield f"{row['seconds'] * 1e3:.3g} ms"
    yield f"{row['memory'] / 2**20:.1f} MiB" if row.get("memory") is not None else ""
    yield f"{row['roofline_fraction']:.0%} ({row['bound']})" if row.get("roofline_fraction") else ""
    yield f"{strongest['ratio']:.2f}x, {strongest['verdict']}" if strongest else ""
    yield str(strongest["baseline"]) if strongest else ""


def _setup(root: Path, row: dict[str, Any]) -> str:
    facts = Store(root).environment(str(row.get("environment", "")))
    threads = f"{row['threads']} threads" if row.get("threads") else "torch's own number of threads"
    versions = facts.get("libraries") or {}
    return f"commit {row.get('commit') or 'unknown'}, torch {versions.get('torch', 'unknown')}, {threads}"
