"""The measurements of ``bench kernels bench``, kept under ``results/kernels``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from claimbench.bench.machine import environment
from claimbench.bench.measure.operators.bench_rows import BenchRow
from claimbench.bench.store import jsonl
from claimbench.bench.store.store import Store, slug


@dataclass(frozen=True)
class KernelLog:
    """Appends rows as they come, each with the environment and the commit that it was measured in.

    Attributes:
        root: the results folder.
        device: its short name.
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
