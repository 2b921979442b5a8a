"""What an opened data set is: pictures in a fixed order, each with a name and its answers, and how to read one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Problem:
    """Something that is not as it must be.

    Attributes:
        text: what, as a part of a sentence, with the first few names and the count.
        excusable: whether what is there can still be evaluated if the user accepts that it is not all.
    """

    text: str
    excusable: bool = False


class Source(Protocol):
    """Where pictures are read from; it can be sent to another process."""

    def image(self, index: int, mode: str) -> Image:
        """Return picture ``index`` in a colour mode (``RGB`` or ``L``).

        Raises:
            OSError: it cannot be read, or is no whole picture.
        """
        ...


class Encoded(Source, Protocol):
    """A source of files, whose contents can be checked."""

    def encoded(self, index: int) -> bytes:
        """Return the file of picture ``index`` as it is stored."""
        ...


@dataclass
class Pictures:
    """A data set as it was found.

    Attributes:
        names: of the pictures, in the fixed order in which they are evaluated.
        labels: the right answers of each; several, or none, where the data set says so.
        classes: the names of the classes, by number.
        source: reads them.
        stamps: the size and time of change of each file, in nanoseconds; empty where nothing has to be checked.
        place: where they lie, for messages.
        problems: what is wrong with them.
        notes: what a user should know, though nothing is wrong.
        expected: how many pictures the whole data set has; None where the folder decides.
        left_out: how many pictures were found but are not evaluated.
    """

    names: list[str]
    labels: list[tuple[int, ...]]
    classes: Sequence[str]
    source: Source
    stamps: list[tuple[int, int]] = field(default_factory=list)
    place: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    expected: int | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Return a digest of the names, the labels and the files' sizes: the same for the same pictures."""
        sizes = [size for size, _ in self.stamps] or [0] * len(self)
        body = hashlib.sha256()
        for name, label, size in zip(self.names, self.labels, sizes, strict=True):
            body.update(f"{name}\0{label}\0{size}\n".encode(errors="surrogateescape"))
        return body.hexdigest()
