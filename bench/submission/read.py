"""Reads a submission that may hold anything: what cannot be read is a reason to refuse it, never an error of ours."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.encoding import StoredRecord
from bench.errors import UserError
from bench.records import Measurement
from bench.run_file import RunFile
from bench.store import environment_file
from bench.submission import lines, strict_json
from bench.submission.document import Entry, Submission
from bench.submission.reasons import Doubt, Reason, gather
from bench.worker import read_job

LARGEST_FILE = 64 * 2**20
LARGEST_LINE = 2 * 2**20
MOST_LINES = 200_000
"""A run of all papers has some thousand records, each about a kilobyte."""

RULES: dict[str, str] = {
    "file": f"A file is JSON Lines, as it is or in gzip, of at most {LARGEST_FILE // 2**20} MiB (unpacked).",
    "json": "Every line is one JSON object: UTF-8, no name twice, finite numbers of 64 bits, nested a few levels deep.",
    "line-kind": f"Every line is one of {', '.join(lines.KINDS)}; the header first, one environment, one plan.",
    "version": "The versions of the format and of the records are those that this suite reads.",
    "unknown-field": "No line has a field that the format does not know.",
    "missing-field": "No line lacks a field.",
    "wrong-type": "Every field has its type, and lies within its bounds.",
    "status": "What was measured has a value and no reason; what was not has a reason and no value.",
}
"""The rules that reading applies, before :data:`bench.submission.reasons.RULES`: name and sentence."""


class _Faults:
    """Collects what is wrong, by rule."""

    def __init__(self) -> None:
        self._found: dict[str, list[Doubt]] = defaultdict(list)

    def add(self, rule: str, message: str, line: int | None = None) -> None:
        self._found[rule].append((line, message))

    def reasons(self) -> Iterator[Reason]:
        for rule in RULES:
            yield from gather(rule, self._found.get(rule, ()))


def read(path: Path) -> tuple[Submission | None, list[Reason]]:
    """Return what a file holds, as far as it can be read, and what is wrong with its form.

    Without a good header, environment or plan there is nothing to judge: the submission is None then.

    Raises:
        UserError: the file cannot be opened or read at all.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder: name the files in it")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return parse(data)


def parse(data: bytes) -> tuple[Submission | None, list[Reason]]:
    """Return what the bytes of a file hold; see :func:`read`."""
    faults = _Faults()
    text = _unpack(data, faults)
    if text is None:
        return None, list(faults.reasons())
    found = _parse_lines(text, faults)
    submission = _assemble(text, found, faults)
    return submission, list(faults.reasons())


def _unpack(data: bytes, faults: _Faults) -> bytes | None:
    """Return the text of a file, at most as much as is allowed."""
    if data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            data = unpacker.decompress(data, LARGEST_FILE + 1)
        except zlib.error as error:
            faults.add("file", f"it is damaged: gzip cannot be unpacked ({error})")
            return None
        if len(data) <= LARGEST_FILE and not unpacker.eof:
            faults.add("file", "it is cut off: gzip ends in the middle")
            return None
        if unpacker.unused_data:
            faults.add("file", "something follows behind the end of gzip")
            return None
    if len(data) > LARGEST_FILE:
        faults.add("file", f"it is larger than {LARGEST_FILE // 2**20} MiB")
        return None
    if not data.strip():
        faults.add("file", "it is empty")
        return None
    if not data.endswith(b"\n"):
        faults.add("file", "its last line does not end: it is cut off")
    if data.count(b"\n") > MOST_LINES:
        faults.add("file", f"it has more than {MOST_LINES} lines")
        return None
    return data


def _parse_lines(text: bytes, faults: _Faults) -> dict[str, list[tuple[int, Any, BaseModel]]]:
    """Return the good lines of each kind: number, content and what it was validated as."""
    found: dict[str, list[tuple[int, Any, BaseModel]]] = defaultdict(list)
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), 1):
        if len(line) > LARGEST_LINE:
            faults.add("file", f"it is longer than {LARGEST_LINE // 2**20} MiB", number)
            continue
        try:
            value = strict_json.loads(line)
        except strict_json.StrictError as error:
            faults.add("json", str(error), number)
            continue
        if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in lines.KINDS:
            stored = isinstance(value, dict) and {"schema", "job"} <= value.keys()
            hint = ": it is a record of a store, whose run `bench submit` packs" if stored else ""
            faults.add("line-kind", f"it is not one of {', '.join(lines.KINDS)}{hint}", number)
            continue
        ((kind, content),) = value.items()
        if (kind == "header") != (number == 1):
            faults.add("line-kind", "the first line, and no other, is the header", number)
            continue
        problem = lines.version_problem(kind, content)
        if problem:
            faults.add("version", problem, number)
            continue
        try:
            found[kind].append((number, content, lines.KINDS[kind].model_validate(content)))
        except ValidationError as error:
            for rule, message in lines.faults(error):
                faults.add(rule, message, number)
    return found


def _assemble(text: bytes, found: dict[str, list[tuple[int, Any, BaseModel]]], faults: _Faults) -> Submission | None:
    """Put the lines together; None without a header, an environment or a plan."""
    broken = next(faults.reasons(), None) is not None
    for kind in ("header", "environment", "plan"):
        if not found[kind]:
            if not broken:
                faults.add("line-kind", f"there is no {kind}")
            return None
    for number, _, _ in found["plan"][1:]:
        faults.add("line-kind", "there is a second plan", number)
    header, plan, environment = found["header"][0][2], found["plan"][0][1], found["environment"][0][1]
    assert isinstance(header, lines.Header)
    samples = {content["key"]: (number, content["samples"]) for number, content, _ in reversed(found["samples"])}
    entries = [_entry(number, content, samples, header.device) for number, content, _ in found["record"]]
    for entry in entries:
        row = entry.record.measurement
        measured = row.status == "measured"
        if measured != (row.value is not None) or measured != (not row.reason):
            faults.add(
                "status", f"it is {row.status}, with the value {row.value} and the reason {row.reason!r}", entry.line
            )
    return Submission(
        header=header,
        sha256=hashlib.sha256(text.partition(b"\n")[2]).hexdigest(),
        environment=environment,
        environment_digest=environment_file(environment)[0],
        environments=len(found["environment"]),
        plan=RunFile(**{**plan, "papers": tuple(plan["papers"]), "jobs": tuple(read_job(job) for job in plan["jobs"])}),
        entries=tuple(entries),
        samples=samples,
        whole=not broken,
    )


def _entry(number: int, content: dict[str, Any], samples: dict[str, tuple[int, list[float]]], device: str) -> Entry:
    values = {**content, "job": read_job({**content["job"], "round": content["round"]})}
    values["measurement"] = Measurement(**content["measurement"])
    values["device"] = device
    del values["round"]
    _, taken = samples.get(content["samples_key"], (0, []))
    return Entry(number, StoredRecord(**values), tuple(taken), content)
