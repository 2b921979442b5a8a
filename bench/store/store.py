"""The store of results: append-only, safe against kills, full disks and concurrent runs.

Layout under its root, ``results/`` by convention::

    records/<device>/<run>.jsonl    one line a record, in the order of measuring; never rewritten
    samples/<device>/<run>.jsonl    every sample behind those records, one line a measurement
    environments/<digest>.json      what each machine was, once

Each run writes files of its own. A query for a run or a device opens only their files; in the others it decodes only
the lines that can match.
"""

from __future__ import annotations

import gc
import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Record
from claimbench.bench.store import jsonl
from claimbench.bench.store.encoding import (
    PAPER,
    Decoder,
    StoredRecord,
    Undecodable,
    decode_samples,
    encode,
    samples_key_of,
)

_PAPER = re.compile(re.escape(PAPER) + rb'([^"\\]*)"')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")


class SkippedLine(NamedTuple):
    """A line or file that a reader skipped: its place (file, or file and line) and the reason."""

    place: str
    text: str


def new_run(now: datetime | None = None) -> str:
    """Return an id for a run that starts now: sortable by time, distinct even if another starts in the same second."""
    return f"{(now or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def when(text: str) -> datetime | None:
    """Return the time of a record, or of a run by the start of its id; None if it is none in UTC, or out of reach."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.utcoffset() == timedelta(0) and 1000 < time.year < 9000 else None


def slug(device: str) -> str:
    """Return a device's name as a folder name: ``NVIDIA H200`` becomes ``nvidia-h200``."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")[:80].rstrip("-") or "unknown"


def environment_file(environment: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the digest of an environment, which is the name of its file, and the file's content."""
    body = orjson.dumps(environment, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2, default=str) + b"\n"
    return hashlib.sha256(body).hexdigest()[:16], body


class Store:
    """Records under one folder.

    Attributes:
        root: the folder; it is made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._problems: dict[SkippedLine, None] = {}
        self._environments: dict[str, dict[str, Any]] = {}
        self._samples: dict[tuple[str, str], dict[str, bytes]] = {}

    @property
    def problems(self) -> list[SkippedLine]:
        """The damaged lines and unreadable files that readers of this store have skipped so far."""
        return list(self._problems)

    # Writing

    def append(self, *records: Record, device: str) -> None:
        """Store the records of one job, measured on ``device`` (a name or a slug), and return once they are safe.

        Raises:
            UserError: they cannot be written; the records, which the caller still has, are then not in the store.
        """
        lines, samples = zip(*(encode(record, len(records)) for record in records), strict=True)
        for run in {record.run for record in records}:
            self._check_run(run)
        name = f"{slug(device)}/{records[0].run}.jsonl"
        kept = [line for line in samples if line is not None]
        if kept:
            jsonl.append(self.root / "samples" / name, kept)
        jsonl.append(self.root / "records" / name, lines)

    def add_environment(self, environment: Mapping[str, Any]) -> str:
        """Store an environment unless it is there already, and return its digest.

        Raises:
            UserError: it cannot be written.
        """
        digest, body = environment_file(environment)
        path = self.root / "environments" / f"{digest}.json"
        if not path.exists():
            jsonl.write_whole(path, body)
        return digest

    # Reading

    def environment(self, digest: str) -> dict[str, Any]:
        """Return a stored environment; empty, with a problem noted, if it is missing or damaged."""
        if digest not in self._environments:
            path = self.root / "environments" / f"{digest}.json"
            try:
                found = orjson.loads(path.read_bytes()) if _NAME.fullmatch(digest) else None
            except (OSError, orjson.JSONDecodeError):
                found = None
            if not isinstance(found, dict):
                self._report(str(path), "the environment is missing or damaged")
                found = {}
            self._environments[digest] = found
        return self._environments[digest]

    def samples(self, record: Record) -> tuple[float, ...]:
        """Return the samples of a record: its own, or else those stored for it; empty where there are none."""
        if record.measurement.samples or not isinstance(record, StoredRecord) or not record.samples_key:
            return record.measurement.samples
        file = (record.device, record.run)
        if file not in self._samples:
            lines = self._lines(self.root / "samples" / record.device / f"{record.run}.jsonl")
            self._samples[file] = {samples_key_of(line): line for _, line in lines}
        line = self._samples[file].get(record.samples_key, b"")
        try:
            return decode_samples(line, times=record.job.metric != "accuracy")
        except (ValueError, KeyError, TypeError):
            place = f"{self.root / 'samples' / record.device / record.run}.jsonl"
            self._report(place, f"the samples {record.samples_key} are missing or damaged")
            return ()

    def devices(self) -> list[str]:
        """Return the short names of the devices that anything was measured on."""
        return sorted({path.parent.name for path in self._files()})

    def papers(self, run: str) -> set[str]:
        """Return the ids of the papers that a run measured; empty for models that belong to none."""
        found: set[str] = set()
        decoder = Decoder()
        for path in self._files(run=run):
            for _, line in self._lines(path):
                start = _PAPER.match(line)
                if start:
                    found.add(start.group(1).decode(errors="replace"))
                    continue
                with suppress(Undecodable):
                    found.add(decoder.decode(line, "").job.paper)
        return found

    def runs(self, device: str | None = None) -> list[str]:
        """Return the ids of the runs that stored anything (on ``device``), the newest last."""
        return sorted({path.stem for path in self._files(device=device)})

    def latest(self, *, paper: str | None = None, device: str | None = None) -> str | None:
        """Return the newest run that holds a record (of ``paper``, on ``device``), or None."""
        for run in reversed(self.runs(device)):
            query = _Query(paper, None, None)
            if any(True for path in self._files(device=device, run=run) for _ in self._matching(path, query)):
                return run
        return None

    def done_keys(self, run: str, *, failed: bool = True) -> set[str]:
        """Return the keys of the jobs of ``run`` whose records are all stored, for resuming it.

        Args:
            run: the run's id.
            failed: whether a job that ended in failure counts as done.

        Raises:
            UserError: there is no such run.
        """
        self._check_run(run)
        if not self._files(run=run):
            raise unknown("run", run, self.runs())
        records = self.query(run=run)
        stored = Counter(record.key for record in records)
        died = {record.key for record in records if record.measurement.status == "failed"}
        return {
            record.key for record in records if stored[record.key] >= record.rows and (failed or record.key not in died)
        }

    def query(
        self,
        *,
        paper: str | None = None,
        subject: str | None = None,
        metric: str | None = None,
        device: str | None = None,
        run: str | None = None,
        newest: bool = False,
    ) -> list[StoredRecord]:
        """Return the records that match, the oldest run first; an unreadable line or file is a problem, not an error.

        Args:
            paper: the paper's id; empty for baselines that belong to none.
            subject: the variant or baseline.
            metric: the row's name, for example ``params`` or ``memory_peak``.
            device: a device's name or slug.
            run: a run's id.
            newest: of the records of one device for the same job and row, only the newest.
        """
        query = _Query(paper, subject, metric, newest)
        files = self._files(device=device, run=run)
        with _no_garbage_collection():
            if not newest:
                return [record for path in files for record in self._matching(path, query)]
            found = [record for path in reversed(files) for record in self._matching(path, query)]
            return found[::-1]

    def _matching(self, path: Path, query: _Query) -> Iterator[StoredRecord]:
        """Yield the records of one file that match, the newest first if only those are wanted."""
        device = path.parent.name
        lines = self._lines(path)
        for number, line in reversed(lines) if query.newest else lines:
            if not query.may_match(line) or (query.newest and query.is_seen(line, device)):
                continue
            try:
                record = query.decoder.decode(line, device)
            except Undecodable as error:
                self._report(f"{path}:{number}", str(error))
                continue
            if query.matches(record) and not (query.newest and query.is_replaced(record, line)):
                yield record

    def _files(self, device: str | None = None, run: str | None = None) -> list[Path]:
        """Return the files of records, the oldest run first."""
        folder = slug(device) if device else "*"
        files = (self.root / "records").glob(f"{folder}/*.jsonl")
        return sorted((f for f in files if run in (None, f.stem)), key=lambda f: (f.stem, f.parent.name))

    def _lines(self, path: Path) -> list[tuple[int, bytes]]:
        """Return the lines of a file, each with its number; a torn last one and an unreadable file are problems."""
        try:
            lines, torn = jsonl.read(path)
        except OSError as error:
            self._report(str(path), f"it cannot be read ({error.strerror})")
            return []
        if torn:
            self._report(
                f"{path}:{len(lines) + 1}", "the last line is incomplete: its writer was cut off, or is writing"
            )
        return [(number, line) for number, line in enumerate(lines, 1) if line]

    def _check_run(self, run: str) -> None:
        if not _NAME.fullmatch(run):
            raise UserError(f"{run!r} is not a run's id (letters, digits, '.', '_', '+' and '-' only)")

    def _report(self, place: str, text: str) -> None:
        self._problems[SkippedLine(place, text)] = None


class _Query:
    """A query, and the rows of its answer seen so far."""

    def __init__(self, paper: str | None, subject: str | None, metric: str | None, newest: bool = False) -> None:
        self.paper, self.subject, self.metric, self.newest = paper, subject, metric, newest
        self.needles = [b'"' + text.encode() + b'"' for text in (subject, metric) if text and text.isascii()]
        self.start = PAPER if paper is None else PAPER + orjson.dumps(paper)[1:]
        self.decoder = Decoder()
        self.seen: set[tuple[object, ...]] = set()

    def may_match(self, line: bytes) -> bool:
        """Whether a line may match, without decoding it.

        It may if it starts with the paper and holds every other text, or spells any with escapes. A line that does not
        look like a whole record as the store writes it is let through: only decoding tells what it is.
        """
        if line.startswith(self.start) and all(needle in line for needle in self.needles):
            return True
        return b"\\" in line or not (line.startswith(PAPER) and line.endswith(b'"}'))

    def matches(self, record: StoredRecord) -> bool:
        return (
            self.paper in (None, record.job.paper)
            and self.subject in (None, record.job.subject)
            and self.metric in (None, record.measurement.metric)
        )

    def is_seen(self, line: bytes, device: str) -> bool:
        """Whether a newer line of the same layout was about the same job and row; cheap, and never wrong if true."""
        return (device, self.decoder.row(line)) in self.seen

    def is_replaced(self, record: StoredRecord, line: bytes) -> bool:
        """Whether a newer record of the same job and row was seen; if not, this one is now the newest."""
        row = self.decoder.row(line)
        if row is not None:
            self.seen.add((record.device, row))
        job = (record.device, record.key, record.measurement.metric)
        if job in self.seen:
            return True
        self.seen.add(job)
        return False


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Hold the collector off while many small objects are made: none of them is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
