"""The progress of an evaluation, read from its files as they grow by a process that only waits for it."""

from __future__ import annotations

from pathlib import Path

import orjson

from claimbench.bench.core.listener import Listener
from claimbench.bench.measure.scoring.lines import files
from claimbench.bench.store import jsonl


class Tail:
    """Tells a listener the number of findings in the files of an evaluation.

    The first line of a file states the final number, and in ``of`` the unit if it is not pictures. Work before the
    first finding is told if :class:`Ahead` announced it.
    """

    def __init__(self, base: Path, name: str, listener: Listener) -> None:
        """Take the files' common name, and the name and the listener of the work."""
        self._base, self._name, self._listener = base, name, listener
        self._seen: dict[Path, tuple[int, int]] = {}
        self._total, self._of = 0, "pictures"

    def tell(self) -> None:
        """Tell the progress, if there is any. Only lines added since the last call are read."""
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
        if self._total:
            found = sum(lines - 1 for _, lines in self._seen.values())
            self._listener.at(min(found, self._total), self._total, f"{self._name}, {self._of}")
        elif stage := _read(_stage(self._base)):
            done, total, what = stage
            self._listener.at(done, total, f"{self._name}, {what}")


class Ahead(Listener):
    """Told the progress of the work before the first finding; :class:`Tail` tells it on until that has ended.

    Args:
        base: the common name of the evaluation's files; empty for an evaluation that keeps none.
        what: names the work: "pictures encoded".
    """

    def __init__(self, base: str, what: str) -> None:
        self._file, self._what = _stage(Path(base)) if base else None, what

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Write it down."""
        if self._file is not None:
            jsonl.write_whole(self._file, orjson.dumps([done, total, self._what]))

    def end(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


def _stage(base: Path) -> Path:
    return base.with_name(f"{base.name}.stage")


def _read(file: Path) -> tuple[float, float | None, str] | None:
    """Return the amount done, the total and the name of the work before the first finding; None without any."""
    try:
        done, total, what = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return done, total, what
