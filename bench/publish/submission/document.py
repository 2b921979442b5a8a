"""A submission in memory, and the bytes of one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from claimbench.bench.publish.submission.lines import VERSION, Header, PaperFiles
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.encoding import StoredRecord


@dataclass(frozen=True, eq=False)
class Entry:
    """A record of a submission.

    Attributes:
        line: its number in the file, counted from 1.
        record: the record, without its samples.
        samples: the samples that its ``samples_key`` names; empty if it names none, or none that are there.
        content: the line's object as it was read.
    """

    line: int
    record: StoredRecord
    samples: tuple[float, ...]
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """Its description, in words."""
        job = self.record.job
        form = f" {job.form}" if job.form else ""
        again = f", round {job.round}" if self.samples else ""
        return f"{job.subject}{form} {self.record.measurement.metric}{again}"


@dataclass(frozen=True)
class Submission:
    """The content of a file.

    Attributes:
        header: the first line.
        sha256: of the bytes behind it, calculated here.
        environment: of the measurements; ``environment_digest`` is calculated here.
        environments: the number of lines that hold one.
        plan: of the run.
        entries: the records that could be read.
        samples: every line of samples: its number and its content, by the key it states.
        whole: whether every line could be read.
        papers: those from elsewhere that came with it, by id.
    """

    header: Header
    sha256: str
    environment: dict[str, Any]
    environment_digest: str
    environments: int
    plan: RunFile
    entries: tuple[Entry, ...]
    samples: dict[str, tuple[int, list[float]]] = field(default_factory=dict)
    whole: bool = True
    papers: dict[str, PaperFiles] = field(default_factory=dict)


def write(
    environment: Mapping[str, Any],
    plan: RunFile,
    records: Iterable[bytes],
    samples: Iterable[bytes],
    device: str,
    submitter: str = "",
    papers: Iterable[PaperFiles] = (),
) -> bytes:
    """Return the bytes of a submission; ``records`` and ``samples`` are lines of the store."""
    lines = [_line("environment", environment), _line("plan", plan.to_json())]
    lines += [_line("paper", paper.model_dump()) for paper in papers]
    lines += [b'{"record":' + line + b"}" for line in records]
    lines += [b'{"samples":' + line + b"}" for line in samples]
    return seal(lines, plan.run, device, submitter)


def seal(lines: Iterable[bytes], run: str, device: str, submitter: str) -> bytes:
    """Return the bytes of a submission whose lines behind the header are ``lines``."""
    body = b"".join(line + b"\n" for line in lines)
    header = {
        "submission": VERSION,
        "run": run,
        "device": device,
        "submitter": submitter,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return orjson.dumps({"header": header}) + b"\n" + body


def _line(kind: str, content: Any) -> bytes:
    return orjson.dumps({kind: content}, option=orjson.OPT_SORT_KEYS, default=str)
