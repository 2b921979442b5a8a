"""A list of faces with their attributes, and the checks that all data sets share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError

PARTS = ("train", "val", "test")
"""The parts of a data set; in ``list_eval_partition.txt`` they are 0, 1 and 2, and LFWA has no ``val``."""


@dataclass(frozen=True)
class Faces:
    """Pictures of faces and their attributes.

    Attributes:
        names: of the pictures, in the order of the list.
        files: of the pictures.
        labels: (N, 40), whether a face has an attribute.
        notes: cautions for the user.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: np.ndarray
    notes: tuple[str, ...] = ()

    def chosen(self, places: Sequence[int]) -> Faces:
        """Return some of the pictures."""
        files = tuple(self.files[i] for i in places)
        return replace(self, names=tuple(self.names[i] for i in places), files=files, labels=self.labels[list(places)])

    def digest(self) -> str:
        """Return a digest of the names and labels, which tells one list from another."""
        return hashlib.sha256("\n".join(self.names).encode() + np.packbits(self.labels).tobytes()).hexdigest()


def check_name(file: Path, name: str) -> None:
    """Refuse a picture's name that leads out of its folder.

    Raises:
        UserError: names it and the list.
    """
    if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{file} names {name!r}, which is no name of a picture")


def apart(file: Path, identities: np.ndarray, of_part: np.ndarray) -> None:
    """Check that no identity is in two parts.

    Raises:
        UserError: one is; names it and the file.
    """
    pairs = np.unique(np.stack([identities, of_part]), axis=1)
    known, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        worst = int(known[counts > 1][0])
        inside = " and ".join(PARTS[i] for i in pairs[1][pairs[0] == worst])
        raise UserError(f"{file}: the identity {worst} is in the parts {inside}, so that the test would not be one")
