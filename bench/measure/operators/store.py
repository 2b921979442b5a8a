"""What ``bench kernels bench`` measured, kept under ``results/kernels``, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tabulate import tabulate

from claimbench.bench.machine import environment
from claimbench.bench.measure.operators.rows import BenchRow
from claimbench.bench.render.markdown import escape
from claimbench.bench.store import jsonl
from claimbench.bench.store.store import Store, slug

TITLES = ("Operator", "Problem", "Pass", "Implementation", "Time", "Peak memory", "Of roofline", "Speed", "Against")


@dataclass(frozen=True)
class KernelLog:
    """Appends rows as they come, each with the environment and the commit that it was measured in.

    Attributes:
        root: the results folder.
        device: the short name of what is measured on.
        environment: the digest of its stored facts.
    """

    root: Path
    device: str
    environment: str

    @classmethod
    def begin(cls, root: Path, device: str) -> KernelLog:
        """Return the log of ``device`` (``cpu`` or a CUDA device).

        Raises:
            UserError: the folder cannot be written.
        """
        digest = Store(root).add_environment(environment.capture(device))
        return cls(root, slug(environment.device_name(device)), digest)

    def add(self, row: BenchRow) -> None:
        """Store one row.

        Raises:
            UserError: it cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"time": now, "commit": environment.commit(), "environment": self.environment, **row.to_json()}
        jsonl.append(_path(self.root, self.device), [json.dumps(line).encode()])


def devices(root: Path) -> list[str]:
    """Return the short names of the devices that operators were measured on."""
    return sorted(path.stem for path in (root / "kernels").glob("*.jsonl"))


def newest(root: Path, device: str) -> list[dict[str, Any]]:
    """Return the newest stored row of each problem and implementation; damaged lines are passed over."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _rows(_path(root, device)):
        key = tuple(row.get(name) for name in ("operator", "case", "dtype", "threads", "direction", "implementation"))
        found[key] = row
    return [found[key] for key in sorted(found, key=str)]


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


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        lines, _ = jsonl.read(path)
    except OSError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"operator", "case", "dtype", "direction", "implementation"} <= row.keys():
            yield row


def _path(root: Path, device: str) -> Path:
    return root / "kernels" / f"{device}.jsonl"
