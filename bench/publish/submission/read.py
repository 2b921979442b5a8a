"""Reads a submission that may hold anything: an unreadable part is a reason to refuse it, never an error of ours."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Measurement, read_job
from claimbench.bench.publish.submission import lines, strict_json
from claimbench.bench.publish.submission.document import Entry, Submission
from claimbench.bench.publish.submission.rules import Doubt, Reason, gather
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
"""The rules that reading applies, before :data:`claimbench.bench.publish.submission.rules.RULES`: name and sentence."""

Faults = dict[str, list[Doubt]]
"""The doubts about the form of a file, by rule."""


class _WrongError(Exception):
    """A file or a line that is none of a submission's; the arguments are rules and messages."""


def read(path: Path) -> bytes:
    """Return the content of a file, of one that is too large a byte more than is allowed.

    Raises:
        UserError: the file cannot be opened or read at all.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder: name the files in it")
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def parse(data: bytes) -> tuple[Submission | None, list[Reason]]:
    """Return the content of a file's bytes, as far as it can be read, and the errors of its form.

    Without a good header, environment or plan there is nothing to judge: the submission is None then.
    """
    faults: Faults = defaultdict(list)
    submission = None
    try:
        text = _unpack(data)
        submission = _assemble(text, _parse_lines(text, faults), faults)
    except _WrongError as error:
        for rule, message in error.args:
            faults[rule].append((None, message))
    return submission, [reason for rule in RULES for reason in gather(rule, faults[rule])]


def _unpack(data: bytes) -> bytes:
    """Return the text of a file.

    Raises:
        _WrongError: it is damaged, empty, or more than is allowed.
    """
    problem = ""
    if data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            data = unpacker.decompress(data, LARGEST_FILE + 1)
        except zlib.error as error:
            raise _WrongError(("file", f"it is damaged: gzip cannot be unpacked ({error})")) from error
        if len(data) <= LARGEST_FILE and not unpacker.eof:
            problem = "it is cut off: gzip ends in the middle"
        elif unpacker.unused_data:
            problem = "something follows behind the end of gzip"
    if len(data) > LARGEST_FILE:
        problem = problem or f"it is larger than {LARGEST_FILE // 2**20} MiB"
    elif not data.strip():
        problem = problem or "it is empty"
    elif data.count(b"\n") > MOST_LINES:
        problem = problem or f"it has more than {MOST_LINES} lines"
    if problem:
        raise _WrongError(("file", problem))
    return data


def _parse_lines(text: bytes, faults: Faults) -> dict[str, list[Line]]:
    """Return the good lines of each kind; a file with very many wrong ones is not read to its end."""
    found: dict[str, list[Line]] = defaultdict(list)
    wrong = 0
    if not text.endswith(b"\n"):
        faults["file"].append((None, "its last line does not end: it is cut off"))
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), 1):
        try:
            kind, content, model = _parse_line(number, line)
            found[kind].append((number, content, model))
        except _WrongError as error:
            for rule, message in error.args:
                faults[rule].append((number, message))
            wrong += 1
            if wrong == MOST_WRONG:
                faults["file"].append((None, f"{MOST_WRONG} lines are wrong: the rest of it was not read"))
                break
    return found


def _parse_line(number: int, line: bytes) -> tuple[str, Any, BaseModel]:
    """Return the kind of a line, its content, and its validated model.

    Raises:
        _WrongError: it is not a line of a submission.
    """
    if len(line) > LARGEST_LINE:
        raise _WrongError(("file", f"it is longer than {LARGEST_LINE // 2**20} MiB"))
    try:
        value = strict_json.loads(line)
    except strict_json.StrictError as error:
        raise _WrongError(("json", str(error))) from error
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in lines.KINDS:
        stored = isinstance(value, dict) and {"schema", "job"} <= value.keys()
        hint = ": it is a record of a store, whose run `bench submit` packs" if stored else ""
        raise _WrongError(("line-kind", f"it is not one of {', '.join(lines.KINDS)}{hint}"))
    ((kind, content),) = value.items()
    if (kind == "header") != (number == 1):
        raise _WrongError(("line-kind", "the first line, and no other, is the header"))
    problem = lines.version_problem(kind, content)
    if problem:
        raise _WrongError(("version", problem))
    try:
        return kind, content, lines.KINDS[kind].model_validate(content)
    except ValidationError as error:
        raise _WrongError(*lines.faults(error)) from error


def _assemble(text: bytes, found: dict[str, list[Line]], faults: Faults) -> Submission | None:
    """Put the lines together; None without a header, an environment or a plan."""
    whole = not faults
    absent = next((kind for kind in ("header", "environment", "plan") if not found[kind]), None)
    if absent:
        if whole:
            faults["line-kind"].append((None, f"there is no {absent}"))
        return None
    faults["line-kind"] += [(number, "there is a second plan") for number, _, _ in found["plan"][1:]]
    papers: dict[str, lines.PaperFiles] = {}
    for number, _, packed in found["paper"]:
        assert isinstance(packed, lines.PaperFiles)
        if papers.setdefault(packed.id, packed) is not packed:
            faults["line-kind"].append((number, f"the paper {packed.id} is there twice"))
    header, plan, environment = found["header"][0][2], found["plan"][0][1], found["environment"][0][1]
    assert isinstance(header, lines.Header)
    samples = {content["key"]: (number, content["samples"]) for number, content, _ in reversed(found["samples"])}
    entries = []
    for number, content, _ in found["record"]:
        job, row = read_job({**content["job"], "round": content["round"]}), Measurement(**content["measurement"])
        values = {name: value for name, value in content.items() if name != "round"}
        record = StoredRecord(**{**values, "job": job, "measurement": row, "device": header.device})
        entries.append(Entry(number, record, tuple(samples.get(record.samples_key, (0, ()))[1]), content))
        measured = row.status == "measured"
        if measured != (row.value is not None) or measured != (not row.reason):
            message = f"it is {row.status}, with the value {row.value} and the reason {row.reason!r}"
            faults["status"].append((number, message))
    return Submission(
        header=header,
        sha256=hashlib.sha256(text.partition(b"\n")[2]).hexdigest(),
        environment=environment,
        environment_digest=environment_file(environment)[0],
        environments=len(found["environment"]),
        plan=RunFile.from_json(plan),
        entries=tuple(entries),
        samples=samples,
        whole=whole,
        papers=papers,
    )
