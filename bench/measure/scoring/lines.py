"""The findings of an evaluation, example by example, on the disk as they come: a kill costs a second of work.

One file a process while it runs (``NAME.part0.jsonl``), one in the examples' order when it is done (``NAME.jsonl``).
The first line of each describes the evaluation; files of another evaluation are not continued.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from claimbench.bench.store import jsonl

PAUSE_S = 1.0
"""The least seconds between writes: a kill costs no more."""


class Lines:
    """The files of one evaluation, a line of JSON for each example."""

    def __init__(self, base: Path, what: dict[str, Any], rank: int = 0) -> None:
        """Take the files' common name, a description of the evaluation (JSON-ready), and this process's number.

        ``what["chosen"]`` is the final number of examples, for those who watch from outside.
        """
        self._base = base
        self._head = orjson.dumps({"evaluation": what}, option=orjson.OPT_SORT_KEYS)
        self._own = part(base, rank)
        self._lines: list[bytes] = []
        self._written = time.monotonic()
        self._begun = False

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the findings that earlier processes left of the same evaluation; nothing from files of another one."""
        for path in files(self._base):
            if not self._is_ours(path):
                continue
            try:
                lines, _ = jsonl.read(path)
            except OSError:
                continue
            for line in lines[1:]:
                try:
                    found = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(found, dict):
                    yield found

    def note(self, lines: Iterable[dict[str, Any]]) -> None:
        """Note some lines; they are on the disk a second later at most, or after :meth:`flush`.

        Raises:
            UserError: the file cannot be written.
        """
        self._lines += map(orjson.dumps, lines)
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

    def replace(self, lines: Iterable[dict[str, Any]]) -> Path:
        """Write the whole evaluation, remove the parts, and return the file.

        Raises:
            UserError: the file cannot be written.
        """
        whole = whole_file(self._base)
        jsonl.write_whole(whole, b"\n".join([self._head, *map(orjson.dumps, lines)]) + b"\n")
        for path in files(self._base):
            if path != whole:
                path.unlink(missing_ok=True)
        return whole

    def _is_ours(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return file.readline().rstrip(b"\n") == self._head
        except OSError:
            return False


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
