"""Predictions on the disk as they come, so that an evaluation that is killed goes on where it was.

One file a process while it runs (``NAME.part0.jsonl``), one in the pictures' order when it is done (``NAME.jsonl``).
The first line of each says what was evaluated; files that say something else are not gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench import jsonl
from bench.evaluation.pictures import Pictures

TOP = 5
"""How many of the classes ranked highest are kept of each picture."""

PAUSE_S = 1.0
"""Lines are written at most this often: what a kill can cost."""

NONE = -1
"""Stands for a rank that was not predicted (yet)."""


class Predictions:
    """The ranked classes of every picture: (N, 5), with -1 where there is none yet; and which were near ties."""

    def __init__(self, count: int) -> None:
        self.ranked = np.full((count, TOP), NONE, dtype=np.int32)
        self.settled = np.zeros(count, dtype=bool)

    def put(self, index: int, top: Sequence[int], settled: bool) -> None:
        """Keep one picture's ranks."""
        self.ranked[index, : len(top)] = top
        self.settled[index] = settled

    def missing(self) -> np.ndarray:
        """Return the positions of pictures without a prediction, ascending."""
        return np.flatnonzero(self.ranked[:, 0] == NONE)

    def merge(self, other: Predictions) -> None:
        """Take over what ``other`` has."""
        has = other.ranked[:, 0] != NONE
        self.ranked[has] = other.ranked[has]
        self.settled[has] = other.settled[has]


class Journal:
    """The files of one evaluation."""

    def __init__(self, base: Path, what: dict[str, Any], rank: int = 0) -> None:
        """Take the files' common name, what is evaluated (JSON-ready), and which process this is."""
        self._base = base
        self._head = orjson.dumps({"evaluation": what}, option=orjson.OPT_SORT_KEYS)
        self._own = part(base, rank)
        self._lines: list[bytes] = []
        self._written = time.monotonic()
        self._begun = False

    def load(self, count: int) -> Predictions:
        """Return what earlier processes left of the same evaluation."""
        found = Predictions(count)
        for path in files(self._base):
            for line in self._read(path):
                try:
                    found.put(line["i"], line["top"], bool(line.get("settled")))
                except (KeyError, TypeError, ValueError, IndexError):
                    continue
        return found

    def add(
        self, pictures: Pictures, indices: Sequence[int], tops: Sequence[Sequence[int]], settled: Sequence[bool]
    ) -> None:
        """Note some predictions; they are on the disk a second later at most, or after :meth:`flush`.

        Raises:
            UserError: the file cannot be written.
        """
        for index, top, was_near in zip(indices, tops, settled, strict=True):
            self._lines.append(_line(pictures, index, top, was_near))
        if time.monotonic() - self._written >= PAUSE_S:
            self.flush()

    def flush(self) -> None:
        """Put everything noted on the disk."""
        if self._lines:
            if not self._begun and not self._is_ours(self._own):
                self._own.unlink(missing_ok=True)
                self._lines.insert(0, self._head)
            jsonl.append(self._own, self._lines)
            self._begun, self._lines = True, []
        self._written = time.monotonic()

    def finish(self, pictures: Pictures, found: Predictions) -> Path:
        """Write the whole evaluation in the order of the pictures, remove the parts, and return the file.

        Raises:
            UserError: the file cannot be written.
        """
        lines = [self._head]
        for index in range(len(pictures)):
            top = [int(n) for n in found.ranked[index] if n != NONE]
            lines.append(_line(pictures, index, top, bool(found.settled[index])))
        whole = whole_file(self._base)
        jsonl.write_whole(whole, b"\n".join(lines) + b"\n")
        for path in files(self._base):
            if path != whole:
                path.unlink(missing_ok=True)
        return whole

    def _read(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the predictions in a file of this evaluation; nothing from a file of another one."""
        if not self._is_ours(path):
            return
        try:
            lines, _ = jsonl.read(path)
        except OSError:
            return
        for line in lines[1:]:
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(found, dict):
                yield found

    def _is_ours(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return file.readline().rstrip(b"\n") == self._head
        except OSError:
            return False


class Count:
    """How many predictions the files of an evaluation hold, for those who watch it from outside."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._seen: dict[Path, tuple[int, int]] = {}
        self._total = 0

    def text(self) -> str:
        """Return it in words; empty while there is nothing. Only what was added since the last call is read."""
        for path in files(self._base):
            size, lines = self._seen.get(path, (0, 0))
            try:
                with path.open("rb") as file:
                    self._total = self._total or int(orjson.loads(file.readline())["evaluation"]["chosen"])
                    file.seek(size)
                    data = file.read()
            except (OSError, ValueError, KeyError, TypeError):
                continue
            self._seen[path] = (size + len(data), lines + data.count(b"\n"))
        done = sum(lines - 1 for _, lines in self._seen.values())
        return f"{min(done, self._total):,} of {self._total:,} pictures" if self._total else ""


def part(base: Path, rank: int) -> Path:
    """Return the file that one process writes while it runs."""
    return base.with_name(f"{base.name}.part{rank}.jsonl")


def whole_file(base: Path) -> Path:
    """Return the file of a finished evaluation."""
    return base.with_name(f"{base.name}.jsonl")


def files(base: Path) -> list[Path]:
    """Return every file of an evaluation that is there."""
    whole = whole_file(base)
    return [*([whole] if whole.is_file() else []), *sorted(base.parent.glob(f"{base.name}.part*.jsonl"))]


def _line(pictures: Pictures, index: int, top: Sequence[int], settled: bool) -> bytes:
    labels = pictures.labels[index]
    line = {
        "i": index,
        "file": _text(pictures.names[index]),
        "label": labels[0] if len(labels) == 1 else labels,
        "top": top,
    }
    return orjson.dumps(line | ({"settled": True} if settled else {}))


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
