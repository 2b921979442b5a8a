"""A submission in memory, and the bytes of one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.publish.submission.lines import VERSION, Header, PaperFiles
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.evidence.reading import read


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
    def job(self) -> Job:
        """The job of the record."""
        return self.record.job

    @property
    def row(self) -> Measurement:
        """The measurement of the record."""
        return self.record.measurement

    @cached_property
    def evidence(self) -> Any:
        """The evidence of the row; None where it cannot be read, or where the row has none."""
        return read(self.row)

    @property
    def name(self) -> str:
        """The row and its model, in words."""
        form = f" {self.job.form}" if self.job.form else ""
        again = f", round {self.job.round}" if self.samples else ""
        return f"{self.job.subject}{form} {self.row.metric}{again}"


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
    samples: dict[str, tuple[int, list[float]]]
    whole: bool
    papers: dict[str, PaperFiles]


def seal(lines: Iterable[bytes], run: str, device: str, submitter: str) -> bytes:
    """Return the bytes of a submission whose lines behind the header are ``lines``."""
    body = b"".join(line + b"\n" for line in lines)
    digest = hashlib.sha256(body).hexdigest()
    header = {"submission": VERSION, "run": run, "device": device, "submitter": submitter, "sha256": digest}
    return orjson.dumps({"header": header}) + b"\n" + body
