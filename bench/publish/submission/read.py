"""Reads a submission that may hold anything: an unreadable part is a reason to refuse it, never an error of ours."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Measurement, read_job
from claimbench.bench.publish.submission import lines, strict_json
from claimbench.bench.publish.submission.document import Entry, Submission
from claimbench.bench.publish.submission.reasons import Doubt, Reason, gather
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.store import environment_file

LARGEST_FILE = 64 * 2**20
LARGEST_LINE = 2 * 2**20
MOST_LINES = 100_000
"""A run of all papers has some thousand records, each about a kilobyte."""

MOST_WRONG = 1000
"""Lines; a file with so many of them is no submission, and its faults would fill the memory."""

Line = tuple[int, Any, BaseModel]
"""A good line: its number, its content, and its validated model."""

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
"""The rules that reading applies, before :data:`claimbench.bench.publish.submission.reasons.RULES`: name and
sentence."""


class _WrongLineError(Exception):
    """A line that is none of a submission's; ``faults`` are rules and messages."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(*faults)
        self.faults = faults


class _Faults:
    """Collects the errors, by rule."""

    def __init__(self) -> None:
        self._found: dict[str, list[Doubt]] = defaultdict(list)

    def add(self, rule: str, message: str, line: int | None = None) -> None:
        self._found[rule].append((line, message))

    def reasons(self) -> Iterator[Reason]:
        for rule in RULES:
            yield from gather(rule, self._found.get(rule, ()))


def read(path: Path) -> tuple[Submission | None, list[Reason]]:
    """Return the content of a file, as far as it can be read, and the errors of its form.

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
    """Return the content of a file's bytes; see :func:`read`."""
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


def _parse_lines(text: bytes, faults: _Faults) -> dict[str, list[Line]]:
    """Return the good lines of each kind; a file with very many wrong ones is not read to its end."""
    found: dict[str, list[Line]] = defaultdict(list)
    wrong = 0
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), 1):
        try:
            kind, content, model = _parse_line(number, line)
        except _WrongLineError as error:
            wrong += 1
            for rule, message in error.faults:
                faults.add(rule, message, number)
            if wrong == MOST_WRONG:
                faults.add("file", f"{MOST_WRONG} lines are wrong: the rest of it was not read")
                break
        else:
            found[kind].append((number, content, model))
    return found


def _parse_line(number: int, line: bytes) -> tuple[str, Any, BaseModel]:
    """Return the kind of a line, its content, and its validated model.

    Raises:
        _WrongLineError: it is not a line of a submission.
    """
    if len(line) > LARGEST_LINE:
        raise _WrongLineError(("file", f"it is longer than {LARGEST_LINE // 2**20} MiB"))
    try:
        value = strict_json.loads(line)
    except strict_json.StrictError as error:
        raise _WrongLineError(("json", str(error))) from error
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in lines.KINDS:
        stored = isinstance(value, dict) and {"schema", "job"} <= value.keys()
        hint = ": it is a record of a store, whose run `bench submit` packs" if stored else ""
        raise _WrongLineError(("line-kind", f"it is not one of {', '.join(lines.KINDS)}{hint}"))
    ((kind, content),) = value.items()
    if (kind == "header") != (number == 1):
        raise _WrongLineError(("line-kind", "the first line, and no other, is the header"))
    problem = lines.version_problem(kind, content)
    if problem:
        raise _WrongLineError(("version", problem))
    try:
        return kind, content, lines.KINDS[kind].model_validate(content)
    except ValidationError as error:
        raise _WrongLineError(*lines.faults(error)) from error


def _assemble(text: bytes, found: dict[str, list[Line]], faults: _Faults) -> Submission | None:
    """Put the lines together; None without a header, an environment or a plan."""
    broken = next(faults.reasons(), None) is not None
    for kind in ("header", "environment", "plan"):
        if not found[kind]:
            if not broken:
                faults.add("line-kind", f"there is no {kind}")
            return None
    for number, _, _ in found["plan"][1:]:
        faults.add("line-kind", "there is a second plan", number)
    papers: dict[str, lines.PaperFiles] = {}
    for number, _, packed in found["paper"]:
        assert isinstance(packed, lines.PaperFiles)
        if papers.setdefault(packed.id, packed) is not packed:
            faults.add("line-kind", f"the paper {packed.id} is there twice", number)
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
        plan=RunFile.from_json(plan),
        entries=tuple(entries),
        samples=samples,
        whole=not broken,
        papers=papers,
    )


def _entry(number: int, content: dict[str, Any], samples: dict[str, tuple[int, list[float]]], device: str) -> Entry:
    values = {**content, "job": read_job({**content["job"], "round": content["round"]})}
    values["measurement"] = Measurement(**content["measurement"])
    values["device"] = device
    del values["round"]
    _, taken = samples.get(content["samples_key"], (0, []))
    return Entry(number, StoredRecord(**values), tuple(taken), content)
