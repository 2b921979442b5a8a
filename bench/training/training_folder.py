"""The folder of a training that can be cut off: its content is continued, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.training import checkpoint

CHECKPOINT, OUTCOME = "checkpoint.pt", "outcome.json"
"""The files of a folder: everything that resuming needs, and the outcome of a training that is over."""


@dataclass(frozen=True)
class TrainingFolder:
    """The folder of one training.

    Attributes:
        path: the folder.
        identity: equal for two trainings that are the same, JSON-ready; a folder is continued only if it is unchanged.
        noun: the word for its content, for sentences.
    """

    path: Path
    identity: Mapping[str, Any]
    noun: str = "training"

    @property
    def checkpoint(self) -> Path:
        """The file of the checkpoint."""
        return self.path / CHECKPOINT

    def keep(self, state: dict[str, Any]) -> None:
        """Write a checkpoint.

        Raises:
            UserError: it cannot be written; the one before it is kept.
        """
        checkpoint.save(self.checkpoint, {**state, "identity": dict(self.identity)})

    def kept(self) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; None if there is none.

        Raises:
            UserError: it cannot be read, or is one of another training.
        """
        if not self.checkpoint.exists():
            return None
        state = checkpoint.load(self.checkpoint)
        try:
            self._compare(state["identity"])
        except (KeyError, TypeError, AttributeError) as error:
            raise self.foreign() from error
        return state

    def foreign(self) -> UserError:
        """Return the error for a checkpoint that holds something else."""
        return UserError(f"checkpoint {self.checkpoint} is not one of this {self.noun}: delete it to start anew")

    def finish(self, found: Mapping[str, Any]) -> None:
        """Write the outcome of the training.

        Raises:
            UserError: it cannot be written.
        """
        body = json.dumps({"identity": dict(self.identity), **found}, indent=1, default=str)
        write_whole(self.path / OUTCOME, body.encode() + b"\n")

    def found(self) -> dict[str, Any] | None:
        """Return the outcome of a training that is over; None if it is not.

        Raises:
            UserError: it cannot be read, or another training found it.
        """
        path = self.path / OUTCOME
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._compare(found.pop("identity"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} cannot be read: delete it to train again") from error
        return found

    def _compare(self, found: Mapping[str, Any]) -> None:
        held, asked = (json.loads(json.dumps(dict(identity))) for identity in (found, self.identity))
        for name in {**asked, **held}:
            if held.get(name) != asked.get(name):
                raise UserError(
                    f"{self.path} holds another {self.noun}: its {name} is {held.get(name)!r}, now it is "
                    f"{asked.get(name)!r}; resume with what it began with, or name another folder (--out)"
                )
