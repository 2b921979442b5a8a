"""A run's plan on the disk, beside its records: what ``--resume`` goes on with."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job, read_job
from claimbench.bench.machine.locks import alone as lock

FOLDER = "runs"


@dataclass(frozen=True)
class RunFile:
    """A run as it was planned.

    Attributes:
        run: its id.
        papers: what is reported on at its end, by id.
        device: where it measures.
        jobs: in the order in which they run.
        timeout: seconds for one job; None for each metric's own.
        seed: of the order of the rounds.
        claims: whether the papers' claims are tested once everything is measured.
    """

    run: str
    papers: tuple[str, ...]
    device: str
    jobs: tuple[Job, ...]
    timeout: float | None = None
    seed: int = 0
    claims: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**vars(self), "jobs": [job.to_json() for job in self.jobs]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunFile:
        """Return the plan that :meth:`to_json` gave.

        Raises:
            TypeError, KeyError, AttributeError: it is none.
        """
        return cls(**{**data, "papers": tuple(data["papers"]), "jobs": tuple(map(read_job, data["jobs"]))})


def save(results: Path, plan: RunFile) -> None:
    """Write a plan, whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    from claimbench.bench.store import jsonl

    body = json.dumps(plan.to_json(), indent=1, default=str).encode() + b"\n"
    try:
        jsonl.write_whole(_path(results, plan.run), body)
    except UserError as error:
        raise UserError(f"{error}: choose another folder with --results, or keep nothing with --no-store") from error


def load(results: Path, run: str) -> RunFile:
    """Read the plan of ``run``, or of the newest run if it is ``latest``.

    Raises:
        UserError: there is no such run, or its plan is damaged.
    """
    runs = sorted(path.stem for path in (results / FOLDER).glob("*.json"))
    if not runs:
        raise UserError(f"there is no run to resume in {results / FOLDER}")
    if run != "latest" and run not in runs:
        raise unknown("run", run, runs)
    path = _path(results, runs[-1] if run == "latest" else run)
    try:
        return RunFile.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"the plan {path} is damaged ({error}): start a new run") from error


def alone(results: Path, run: str) -> AbstractContextManager[None]:
    """Keep other processes from working on a run whose plan is on the disk; see
    :func:`claimbench.bench.machine.locks.alone`.
    """
    return lock(_path(results, run), f"another process is at work on run {run}: wait for it, or end it")


def _path(results: Path, run: str) -> Path:
    return results / FOLDER / f"{run}.json"
