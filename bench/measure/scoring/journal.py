"""Predictions on the disk as they come, so that a killed evaluation continues from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from claimbench.bench.core.listener import Listener
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.measure.scoring.lines import Lines, files
from claimbench.bench.store import jsonl

TOP = 5
"""The number of highest-ranked classes kept of each picture."""

NONE = -1
"""Stands for a rank that was not predicted (yet)."""


class Predictions:
    """The ranked classes of every picture: (N, 5), with -1 where there is none yet; and whether they were near ties."""

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
        """Take over the predictions of ``other``."""
        has = other.ranked[:, 0] != NONE
        self.ranked[has] = other.ranked[has]
        self.settled[has] = other.settled[has]


class Journal(Lines):
    """The files of one evaluation."""

    def load(self, count: int) -> Predictions:
        """Return the predictions that earlier processes left of the same evaluation."""
        found = Predictions(count)
        for line in self.read():
            try:
                found.put(line["i"], line["top"], bool(line.get("settled")))
            except (KeyError, TypeError, ValueError, IndexError):
                continue
        return found

    def add(
        self, pictures: Pictures, indices: Sequence[int], tops: Sequence[Sequence[int]], settled: Sequence[bool]
    ) -> None:
        """Note some predictions; see :meth:`~claimbench.bench.measure.scoring.lines.Lines.note`."""
        each = zip(indices, tops, settled, strict=True)
        self.note([_line(pictures, index, top, was_near) for index, top, was_near in each])

    def finish(self, pictures: Pictures, found: Predictions) -> Path:
        """Write the whole evaluation in the order of the pictures, remove the parts, and return the file.

        Raises:
            UserError: the file cannot be written.
        """
        ranks = [[int(n) for n in ranked if n != NONE] for ranked in found.ranked]
        return self.replace(_line(pictures, index, top, bool(found.settled[index])) for index, top in enumerate(ranks))


class Count:
    """The number of predictions in the files of an evaluation, for those who watch it from outside.

    The first line of a file states the final number, and in ``of`` the unit if it is not pictures.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._seen: dict[Path, tuple[int, int]] = {}
        self._total, self._of = 0, "pictures"

    def text(self) -> str:
        """Return it in words; empty while there is nothing. Only lines added since the last call are read.

        Work before the first prediction is reported if :class:`Ahead` announced it.
        """
        for path in files(self._base):
            size, lines = self._seen.get(path, (0, 0))
            try:
                with path.open("rb") as file:
                    if not self._total:
                        head = orjson.loads(file.readline())["evaluation"]
                        self._total, self._of = int(head["chosen"]), str(head.get("of", self._of))
                    file.seek(size)
                    data = file.read()
            except (OSError, ValueError, KeyError, TypeError):
                continue
            self._seen[path] = (size + len(data), lines + data.count(b"\n"))
        done = sum(lines - 1 for _, lines in self._seen.values())
        return f"{min(done, self._total):,} of {self._total:,} {self._of}" if self._total else _read(_stage(self._base))


class Ahead(Listener):
    """Told the progress of the work before the first prediction; :class:`Count` shows it until that has ended.

    Args:
        base: the common name of the evaluation's files; empty for an evaluation that keeps none.
        what: names the work: "pictures encoded".
    """

    def __init__(self, base: str, what: str) -> None:
        self._file, self._what = _stage(Path(base)) if base else None, what

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Write it down."""
        if self._file is not None:
            jsonl.write_whole(self._file, f"{done:,} of {total:,} {self._what}".encode())

    def end(self) -> None:
        """Remove the files."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


def _stage(base: Path) -> Path:
    return base.with_name(f"{base.name}.stage")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _line(pictures: Pictures, index: int, top: Sequence[int], settled: bool) -> dict[str, Any]:
    labels = pictures.labels[index]
    line = {
        "i": index,
        "file": _text(pictures.names[index]),
        "label": labels[0] if len(labels) == 1 else labels,
        "top": top,
    }
    return line | ({"settled": True} if settled else {})


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
