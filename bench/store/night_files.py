"""Nights on the disk: the plan and the end of each. ``nights/<device>/<night>.json`` beside the records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.locks import alone as lock
from claimbench.bench.store import jsonl

FOLDER = "nights"

Status = Literal["running", "good", "bad", "abandoned"]
"""``good``: nothing got worse. ``abandoned``: cut off, and the code or the options are others since."""


@dataclass(frozen=True)
class Night:
    """One night on one device.

    Attributes:
        night: its id, which is that of the run that holds its records.
        device: the machine's short name.
        commit: the code.
        asked: the options it was started with.
        started: UTC, ISO 8601.
        budget: seconds; None for no limit.
        run: the units measured: unit, expected seconds, age.
        left: the units that the budget left out, in the same form.
        status: see :data:`Status`.
        baseline: the good nights that it was compared with.
        summary: of its end, one sentence.
        failed: the failures, one sentence each.
        regressions: one phrase each.
    """

    night: str
    device: str
    commit: str
    asked: dict[str, Any]
    started: str
    budget: float | None
    run: list[list[Any]]
    left: list[list[Any]]
    status: Status = "running"
    baseline: list[str] = field(default_factory=list)
    summary: str = ""
    failed: list[str] = field(default_factory=list)
    regressions: list[str] = field(default_factory=list)


def save(results: Path, night: Night) -> Path:
    """Write a night's state, whole or not at all, and return the file.

    Raises:
        UserError: it cannot be written.
    """
    path = file_of(results, night)
    jsonl.write_whole(path, json.dumps(asdict(night), indent=1).encode() + b"\n")
    return path


def file_of(results: Path, night: Night) -> Path:
    """Return the file of a night's state."""
    return results / FOLDER / night.device / f"{night.night}.json"


def nights(results: Path, device: str) -> list[Night]:
    """Return the nights of a device, the oldest first.

    Raises:
        UserError: one of them is damaged.
    """
    return [load(path) for path in sorted((results / FOLDER / device).glob("*.json"))]


def load(path: Path) -> Night:
    """Read the state of one night.

    Raises:
        UserError: it is damaged.
    """
    try:
        return Night(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"the night {path} is damaged ({error}): restore or remove it") from error


@contextmanager
def alone(results: Path, device: str) -> Iterator[None]:
    """Keep other nights on this device and these results from running meanwhile.

    Raises:
        UserError: one is running, or the folder cannot be written.
    """
    folder = results / FOLDER / device
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with --results"
        ) from error
    with lock(folder, f"another night is running on {device} with these results: wait for it, or end it"):
        yield
