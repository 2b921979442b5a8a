"""Detections on the disk as they come, so that an evaluation that is killed goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.evaluation.lines import Lines

Results = list[dict[str, Any]]
"""What was found in one picture, as COCO's library takes it."""


class Journal(Lines):
    """The files of one evaluation."""

    def load(self) -> dict[int, Results]:
        """Return what earlier processes found in pictures, by their numbers, for the same evaluation."""
        lines = [(line.get("picture"), line.get("found")) for line in self.read()]
        return {picture: found for picture, found in lines if isinstance(picture, int) and isinstance(found, list)}

    def add(self, picture: int, found: Results) -> None:
        """Note what was found in a picture; see :meth:`~bench.evaluation.lines.Lines.note`."""
        self.note([_line(picture, found)])

    def finish(self, found: Mapping[int, Results]) -> Path:
        """Write the whole evaluation in the order of the pictures, remove the parts, and return the file.

        Raises:
            UserError: the file cannot be written.
        """
        return self.replace(_line(picture, found[picture]) for picture in sorted(found))


def _line(picture: int, found: Results) -> dict[str, Any]:
    return {"picture": picture, "found": found}
