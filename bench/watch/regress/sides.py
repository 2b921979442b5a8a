"""The sides of a comparison: a run, the newest run, a commit, a file of records or a folder of results."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.machine.environment import git
from claimbench.bench.report.figures import ReadSamples, own_samples
from claimbench.bench.store import jsonl
from claimbench.bench.store.encoding import Decoder, StoredRecord, Undecodable
from claimbench.bench.store.store import SkippedLine, Store

_HEX = re.compile(r"[0-9a-f]{4,40}")


@dataclass(frozen=True)
class RecordSet:
    """Records, and the places of their samples and environments.

    Attributes:
        name: by the user's word.
        records: in the order of measuring.
        samples, environment: see :class:`claimbench.bench.store.store.Store`.
        problems: lines or files that could not be read.
    """

    name: str
    records: list[StoredRecord]
    samples: ReadSamples
    environment: Callable[[str], dict[str, Any]]
    problems: tuple[SkippedLine, ...] = ()


def find(name: str, results: Path) -> RecordSet:
    """Return the records that ``name`` means.

    Args:
        name: ``latest``, a run's id, a commit (four digits or more, or anything that git resolves here), a file of
            records, or a folder like ``results/``.
        results: the folder in which runs and commits are looked for.

    Raises:
        UserError: there is nothing of that name, or nothing in it.
    """
    if Path(name).is_dir():
        return _folder(name)
    if Path(name).is_file():
        return _file(name)
    store = Store(results)
    runs = store.runs()
    if not runs:
        raise UserError(f"no records are stored under {results}: measure with `bench run` first, or name --results")
    if name == "latest" or name in runs:
        return _of_store(name, store, store.query(run=runs[-1] if name == "latest" else name))
    records = store.query()
    for commit in (name.lower(), _resolved(name)):
        found = [record for record in records if _HEX.fullmatch(commit) and record.commit.startswith(commit)]
        if found:
            return _of_store(name, store, found)
    if _resolved(name):
        raise UserError(f"nothing was measured at commit {name} ({_resolved(name)[:12]}): run `bench run` there first")
    commits = {record.commit[:12] for record in records if record.commit}
    raise unknown("run, commit, file or folder", name, {*runs, *commits, "latest"})


def _folder(name: str) -> RecordSet:
    root = Path(name)
    if not (root / "records").is_dir() and root.name == "records":
        root = root.parent
    store = Store(root)
    if not store.runs():
        raise UserError(f"no records are stored under {name}: a folder of results holds records/<device>/<run>.jsonl")
    return _of_store(name, store, store.query())


def _file(name: str) -> RecordSet:
    """Return the records of one file; in a folder of results, with their samples and environments."""
    path = Path(name).resolve()
    if path.parent.parent.name == "records":
        store = Store(path.parent.parent.parent)
        return _of_store(name, store, store.query(run=path.stem, device=path.parent.name))
    try:
        lines, torn = jsonl.read(path)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror})") from error
    decoder, records, problems = Decoder(), [], []
    for number, line in enumerate(lines, 1):
        try:
            records.append(decoder.decode(line, ""))
        except Undecodable as error:
            problems.append(SkippedLine(f"{name}:{number}", str(error)))
    if torn:
        problems.append(SkippedLine(name, "the last line is incomplete"))
    if not records:
        raise UserError(f"{name} holds no records: name a file like results/records/<device>/<run>.jsonl")
    return RecordSet(name, records, own_samples, lambda digest: {}, tuple(problems))


def _of_store(name: str, store: Store, records: list[StoredRecord]) -> RecordSet:
    if not records:
        why = f" ({store.problems[0].place}: {store.problems[0].text})" if store.problems else ""
        raise UserError(f"{name} holds no records that can be read{why}")
    return RecordSet(name, records, store.samples, store.environment, tuple(store.problems))


def _resolved(name: str) -> str:
    """Return the commit that git gives for a name in the working folder; empty where it gives none."""
    if name.startswith("-"):
        return ""
    found = git(Path(), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").splitlines()
    return found[-1] if found else ""
