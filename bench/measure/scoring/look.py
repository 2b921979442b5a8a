"""The findings of each picture, on the disk as they come: a killed evaluation continues from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring.evidence import weights_of
from claimbench.bench.measure.scoring.lines import Lines
from claimbench.bench.store.evidence import Kept

T = TypeVar("T")

Key = str | int
"""A picture's name or number, by which it is known in the files."""


class Findings(Lines):
    """The files of one evaluation; the findings of a picture are JSON-ready."""

    def load(self) -> dict[Key, Any]:
        """Return the findings of earlier processes, for the same evaluation."""
        lines = [line for line in self.read() if "found" in line]
        return {line["picture"]: line["found"] for line in lines if isinstance(line.get("picture"), str | int)}

    def add(self, picture: Key, found: Any) -> None:
        """Note the findings of a picture; see :meth:`~claimbench.bench.measure.scoring.lines.Lines.note`."""
        self.note([_line(picture, found)])

    def finish(self, found: Mapping[Key, Any]) -> Path:
        """Write the whole evaluation in the order of ``found``, remove the parts, and return the file.

        Raises:
            UserError: the file cannot be written.
        """
        return self.replace(_line(picture, each) for picture, each in found.items())


def look(
    job: Job, what: Mapping[str, Any], groups: Iterable[Mapping[Any, T]], see: Callable[[Sequence[T]], Iterable[Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the findings of every picture, in their order, and the file that keeps them, for the evidence.

    Findings of earlier processes of the same evaluation are not looked for again; a group of which they did a part is
    looked at whole, so that a picture is always seen in the same company.

    Args:
        job: its option ``predictions`` is the common name of the files; without it nothing is kept.
        what: all that the findings depend on, JSON-ready: :func:`circumstances` and the task's own; ``of`` names
            the unit of progress, if not pictures.
        groups: pictures that are looked at together, each by its :data:`Key`; no two have the same.
        see: finds, for the pictures of one group, something JSON-ready in each.

    Raises:
        UserError: from ``see``, or a file cannot be written.
    """
    cut = list(groups)
    base = job.options.predictions
    with TemporaryDirectory(prefix="bench-") as scratch:
        chosen = sum(map(len, cut))
        journal = Findings(Path(base or f"{scratch}/all"), {"chosen": chosen, **json.loads(json.dumps(what))})
        found = _look(journal, cut, see)
        file = journal.finish(found)
        kept = kept_in(file)
    return list(found.values()), kept if base else {}


def kept_in(file: Path) -> dict[str, Any]:
    """Return the file that keeps the findings, for the evidence."""
    name = f"{file.parent.name}/{file.name}"
    return Kept(predictions_file=name, predictions_sha256=digest(file)).to_detail()


def _look(
    journal: Findings, groups: Sequence[Mapping[Any, T]], see: Callable[[Sequence[T]], Iterable[Any]]
) -> dict[Key, Any]:
    known = journal.load()
    found: dict[Key, Any] = {}
    try:
        for group in groups:
            if all(key in known for key in group):
                found |= {key: known[key] for key in group}
                continue
            for key, each in zip(group, see(list(group.values())), strict=True):
                found[key] = each
                journal.add(key, each)
    finally:
        journal.flush()
    return found


def circumstances(subject: Subject, job: Job) -> dict[str, Any]:
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


def by_one_process(job: Job, what: str) -> None:
    """Check that no other process or device is meant to share an evaluation that cannot be shared.

    Args:
        job: the evaluation.
        what: names the subject, for the sentence: "detectors are scored".

    Raises:
        UnavailableError: one is.
    """
    if job.options.group or len(job.options.devices) > 1:
        raise UnavailableError(f"{what} by one process on one device only")


def _line(picture: Key, found: Any) -> dict[str, Any]:
    return {"picture": picture, "found": found}


def spread(total: int, limit: int | None) -> list[int]:
    """Return ``limit`` positions spread evenly over ``total`` (folders list class by class), or all of them."""
    if limit is None or limit >= total:
        return list(range(total))
    return [i * total // limit for i in range(limit)]
