"""The log of a run: one JSON object a step and an epoch, and the same for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from claimbench.bench.store import jsonl

METRICS, BOARD = "metrics.jsonl", "tensorboard"
"""The file and the folder inside a run's folder."""


class Log:
    """The log of a run; a resumed run forgets the lines beyond its checkpoint.

    Args:
        folder: of the run.
        steps: steps already taken: later lines are removed.
        epochs: epochs already finished, with their validation; lines from the end of a later one are removed.
    """

    def __init__(self, folder: Path, steps: int, epochs: int = 0) -> None:
        self.path = folder / METRICS
        self._forget(steps, epochs)
        self._board = _board(folder / BOARD, steps)

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Append lines, each with ``steps``, the number taken by then.

        Raises:
            UserError: the disk is full or the file cannot be written.
        """
        if not lines:
            return
        jsonl.append(self.path, (orjson.dumps(line) for line in lines))
        if self._board is None:
            return
        for line in lines:
            for name, value in line.items():
                if isinstance(value, float):
                    self._board.add_scalar(f"{line['kind']}/{name}", value, line["steps"])
        self._board.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._board is not None:
            self._board.close()

    def _forget(self, steps: int, epochs: int) -> None:
        if not self.path.exists():
            return
        lines, _ = jsonl.read(self.path)
        kept = [line for line in lines if line and _is_past(line, steps, epochs)]
        jsonl.write_whole(self.path, b"".join(line + b"\n" for line in kept))


def _is_past(line: bytes, steps: int, epochs: int) -> bool:
    """Whether a line is about a part of the run that will not be repeated; a line that cannot be read is not."""
    try:
        found = orjson.loads(line)
        return bool(found["steps"] <= steps and (found["kind"] != "epoch" or found["epoch"] < epochs))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False


def _board(folder: Path, steps: int) -> Any | None:
    """Return a TensorBoard writer, or None if that package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=steps + 1 if steps else None)
