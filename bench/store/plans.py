"""Plans on the disk, from which a run that was cut off is resumed."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import ValidationError

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job, Settings, read_job
from claimbench.bench.machine import locks
from claimbench.bench.store import jsonl
from claimbench.bench.store.schema import first_fault, model

_JOB = model(Job, defaults=True, settings=model(Settings, defaults=True), options=dict[str, Any])


@dataclass(frozen=True)
class Plan:
    """Jobs to be run. The ledger of the same run knows those that are done.

    Attributes:
        run: the run's id.
        jobs: in the order in which they run.
    """

    run: str
    jobs: tuple[Job, ...]

    def left(self, done: Collection[str]) -> tuple[Job, ...]:
        """Return the jobs whose keys are not among those done."""
        return tuple(job for job in self.jobs if job.key() not in done)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**vars(self), "jobs": [job.to_json() for job in self.jobs]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the plan that :meth:`to_json` gave.

        Raises:
            TypeError: an option of a job is of the wrong type; the message names it.
        """
        others: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**{**others, "jobs": tuple(map(read_job, data["jobs"]))})


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Plans(Generic[P]):
    """All plans of one kind.

    Attributes:
        kind: their class, whose sequences are tuples.
        pattern: the path of one in the results folder, with ``{}`` for the run's id.
        noun: for one of them: "run".
        title: for one that can be resumed: "unfinished study".
        absent: the noun of the sentence if there is none: "run to resume".
        hint: advice if one cannot be written, for the end of the sentence.
    """

    kind: type[P]
    pattern: str
    noun: str
    title: str
    absent: str
    hint: str = ""

    def path(self, results: Path, run: str) -> Path:
        """Return the file of a run's plan."""
        return results / self.pattern.format(run)

    def save(self, results: Path, plan: P) -> None:
        """Write a plan, whole or not at all.

        Raises:
            UserError: the folder cannot be written.
        """
        body = json.dumps(plan.to_json(), indent=1, default=str).encode() + b"\n"
        try:
            jsonl.write_whole(self.path(results, plan.run), body)
        except UserError as error:
            raise UserError(f"{error}{self.hint}") from error

    def load(self, results: Path, run: str) -> P:
        """Read the plan of ``run``, or the newest if it is ``latest``.

        Raises:
            UserError: there is no such plan, or it is damaged.
        """
        before, after = self.pattern.split("{}")
        found = (file.relative_to(results).as_posix() for file in results.glob(self.pattern.format("*")))
        runs = sorted(name.removeprefix(before).removesuffix(after) for name in found)
        if not runs:
            raise UserError(f"there is no {self.absent} in {results / before}")
        if run != "latest" and run not in runs:
            raise unknown(self.title, run, runs)
        path = self.path(results, runs[-1] if run == "latest" else run)
        schema = model(self.kind, defaults=True, jobs=list[_JOB])  # type: ignore[valid-type]  # made when it runs
        try:
            body = path.read_bytes()
            schema.model_validate_json(body)
            return self.kind.from_json(json.loads(body))
        except (OSError, TypeError, ValidationError) as error:
            reason = first_fault(error) if isinstance(error, ValidationError) else error
            raise UserError(f"the plan {path} is damaged ({reason}): start a new {self.noun}") from error

    def alone(self, results: Path, run: str) -> AbstractContextManager[None]:
        """Keep other processes from working on a run whose plan is on the disk; see
        :func:`claimbench.bench.machine.locks.alone`.
        """
        refusal = f"another process is at work on {self.noun} {run}: wait for it, or end it"
        return locks.alone(self.path(results, run), refusal)
