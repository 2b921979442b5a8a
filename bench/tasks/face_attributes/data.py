"""Finds the faces of a data set."""

from __future__ import annotations

from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.face_attributes.catalogue import FaceSet
from claimbench.bench.tasks.face_attributes.celeba import celeba
from claimbench.bench.tasks.face_attributes.faces import Faces
from claimbench.bench.tasks.face_attributes.lfwa import lfwa

_READERS = {"celeba": celeba, "lfwa": lfwa}


def find(dataset: FaceSet, place: str, part: str = "test") -> Faces:
    """Return the faces of one part of a data set; no picture is opened.

    Raises:
        UserError: the folder is not laid out as the data set is, a list is damaged, an identity is in two parts, or the
            part has no faces; one sentence.
    """
    root = Path(place).expanduser()
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give {dataset.needs} with --data")
    found = _READERS[dataset.layout](dataset, root, part)
    if not found.names:
        raise UserError(f"{place} lists no faces in the part {part} of {dataset.title}")
    return found
