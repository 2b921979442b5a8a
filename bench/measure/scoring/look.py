"""The loop of all scoring: looks at each example once, shares them among processes, keeps each finding as it comes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job
from claimbench.bench.core.task import Subject
from claimbench.bench.machine.group import Group, joined
from claimbench.bench.measure.scoring.evidence import weights_of
from claimbench.bench.measure.scoring.lines import Lines
from claimbench.bench.store.evidence.of_scores import Kept

T = TypeVar("T")

See = Callable[[Sequence[list[T]]], Iterable[Iterable[Any]]]
"""Finds, group by group, something JSON-ready in each example."""

Key = str | int
"""An example's name or number, by which it is known in the files."""


class ElsewhereError(UnavailableError):
    """Raised in all processes of a shared evaluation but the first, which has the findings of all."""


@dataclass(frozen=True)
class LineFormat:
    """The form of a finding in the files.

    Attributes:
        write: maps an example's key and its finding to the line, JSON-ready.
        read: maps a line to the key and the finding. May raise KeyError, TypeError or ValueError: the line is damaged.
    """

    write: Callable[[Key, Any], dict[str, Any]]
    read: Callable[[dict[str, Any]], tuple[Key, Any]]


PICTURES = LineFormat(
    lambda key, found: {"picture": key, "found": found}, lambda line: (line["picture"], line["found"])
)


def look(
    subject: Subject,
    job: Job,
    what: Mapping[str, Any],
    groups: Iterable[Mapping[Any, T]],
    see: See[T],
    form: LineFormat = PICTURES,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the finding of every example, in their order, and the file that keeps them, for the evidence.

    Findings of earlier processes of the same evaluation are not looked for again; a group of which they did a part is
    looked at whole, so that an example is always seen in the same company, whoever looks at it. Of a group of
    processes each takes every ``size``-th group of examples that is not done.

    Args:
        subject: the model.
        job: its option ``predictions`` is the common name of the files, without which nothing is kept; ``group`` names
            the processes that share the evaluation, if there are others.
        what: all that the findings depend on besides the model, its settings and its software, JSON-ready; ``of`` names
            the unit of progress, if not pictures.
        groups: the examples that are looked at together, each by its :data:`Key`; no two have the same. The same in
            every process.
        see: looks at the groups of this process, in their order.
        form: of the findings in the files.

    Raises:
        ElsewhereError: the first process has the findings.
        UserError, UnavailableError: from ``see`` in any of the processes, or a file cannot be written.
    """
    cut = list(groups)
    base = job.options.predictions
    told = {"chosen": sum(map(len, cut)), **_circumstances(subject, job), **what}
    with TemporaryDirectory(prefix="bench-") as scratch, joined(job.options.group) as group:
        lines = Lines(Path(base or f"{scratch}/all"), json.loads(json.dumps(told)), group.rank)
        found = _shared(lines, cut, see, form, group)
        if not group.first:
            raise ElsewhereError("the first process has it")
        ordered = {key: found[key] for each in cut for key in each}
        file = lines.replace(form.write(key, each) for key, each in ordered.items())
        kept = Kept(predictions_file=f"{file.parent.name}/{file.name}", predictions_sha256=digest(file))
    return list(ordered.values()), kept.to_detail() if base else {}


def _shared(
    lines: Lines,
    groups: Sequence[Mapping[Any, T]],
    see: See[T],
    form: LineFormat,
    group: Group,
) -> dict[Key, Any]:
    """Return the findings of all processes, to the first."""
    found = dict(_known(lines, form))
    held = group.gather(set(found))
    known = set().union(*held)
    left = [each for each in groups if not known.issuperset(each)]
    problem: Exception | None = None
    try:
        found |= _new(lines, left[group.rank :: group.size], see, form)
    except (UserError, UnavailableError) as error:
        problem = error  # told to the others, so that none waits for this process in vain
    missing = {key: each for key, each in found.items() if key not in held[0]}
    for raised, others in group.gather((problem, missing)):
        if raised is not None:
            raise raised
        found |= others
    return found


def _known(lines: Lines, form: LineFormat) -> Iterator[tuple[Key, Any]]:
    """Yield the findings of earlier processes of the same evaluation."""
    for line in lines.read():
        try:
            key, found = form.read(line)
        except (KeyError, TypeError, ValueError):
            continue
        if isinstance(key, str | int):
            yield key, found


def _new(
    lines: Lines,
    groups: Sequence[Mapping[Any, T]],
    see: See[T],
    form: LineFormat,
) -> dict[Key, Any]:
    """Look at some groups and return the finding of each example."""
    found: dict[Key, Any] = {}
    try:
        with _deterministic():
            for group, seen in zip(groups, see([list(group.values()) for group in groups]), strict=True):
                for key, each in zip(group, seen, strict=True):
                    found[key] = each
                    lines.note([form.write(key, each)])
    finally:
        lines.flush()
    return found


@contextmanager
def _deterministic() -> Iterator[None]:
    """Make a GPU choose the same algorithms each time; operators that have no such form go on as they are."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmarked = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmarked


def _circumstances(subject: Subject, job: Job) -> dict[str, Any]:
    """Return the circumstances of every finding of a model: the model, its weights, its settings and its software."""
    return {
        "subject": f"{job.paper} {job.subject} {job.form}",
        "config": hashlib.sha256(json.dumps(job.options.config, sort_keys=True).encode()).hexdigest()[:16],
        "precision": job.settings.precision,
        "mode": job.settings.mode,
        "device": subject.device.type,
        "software": {name: version(name) for name in ("torch", "timm", "pillow")},
        **weights_of(job),
    }


def spread(total: int, limit: int | None) -> list[int]:
    """Return ``limit`` positions spread evenly over ``total`` (folders list class by class), or all of them."""
    if limit is None or limit >= total:
        return list(range(total))
    return [i * total // limit for i in range(limit)]
