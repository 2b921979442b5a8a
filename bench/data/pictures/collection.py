"""An opened data set: pictures in a fixed order, each with a name and its answers, and the source that reads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from claimbench.bench.core.text import several, some
from claimbench.bench.data.pictures.picture_reader import decode


@dataclass(frozen=True)
class Problem:
    """Something that is not as it must be.

    Attributes:
        text: a part of a sentence, with the first few names and the count.
        excusable: whether the rest can still be evaluated if the user accepts that it is not all.
    """

    text: str
    excusable: bool = False


def problem(names: Sequence[str], one: str, many: str, rest: str = "", *, excusable: bool = True) -> list[Problem]:
    """Return the problem that some things have in common, with their number and the first of them; none without any.

    Args:
        names: of the things.
        one, many: the subject and verb, for one thing and for several: "link points", "links point".
        rest: the end of the sentence: "nowhere".
        excusable: see :class:`Problem`.
    """
    text = f"{several(len(names), one, many)} {rest}".rstrip()
    return [Problem(f"{text}: {some(names)}", excusable)] if names else []


class Source:
    """Reads pictures by their number; it can be sent to another process."""

    def encoded(self, index: int) -> bytes:
        """Return the file of a picture as it is stored.

        Raises:
            OSError: it cannot be read.
        """
        raise NotImplementedError

    def image(self, index: int, mode: str) -> Image.Image:
        """Return a picture in a colour mode (``RGB`` or ``L``).

        Raises:
            OSError: it cannot be read, or is none that :mod:`claimbench.bench.data.pictures.picture_reader` takes.
        """
        return decode(self.encoded(index), mode)


class Files(Source):
    """The files of a folder, by their names below it."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root, self._names = str(root), names

    def encoded(self, index: int) -> bytes:
        """Return the content of a file."""
        return Path(self._root, self._names[index]).read_bytes()

    def image(self, index: int, mode: str) -> Image.Image:
        """Return a picture."""
        return decode(self.encoded(index), mode, name=self._names[index].rpartition("/")[2])


class Members(Source):
    """Members of tar archives that are not compressed, each read from its place in the archive.

    Reading at an offset needs no state, so that any number of processes can do it in any order. timm's and webdataset's
    own readers stream instead: they pass over pictures that they cannot decode, and hand shards to workers unevenly.
    """

    def __init__(self, archives: Sequence[Path], places: Sequence[tuple[int, int, int]]) -> None:
        """Take the archives, and of each member the archive's number, the offset of its content and its length."""
        self._archives, self._places = [str(path) for path in archives], places
        self._open: dict[tuple[int, int], int] = {}

    def encoded(self, index: int) -> bytes:
        """Return the content of a member."""
        archive, offset, length = self._places[index]
        key = (os.getpid(), archive)
        if key not in self._open:
            self._open[key] = os.open(self._archives[archive], os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._open[key], length, offset)
        if len(data) != length:
            raise OSError("the archive ends before it")
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}


class Arrays(Source):
    """Pictures in memory: (N, H, W) in grey or (N, H, W, 3) in colour, 0 to 255."""

    def __init__(self, arrays: np.ndarray) -> None:
        self._arrays = arrays

    def image(self, index: int, mode: str) -> Image.Image:
        """Return a picture."""
        return Image.fromarray(self._arrays[index]).convert(mode)


class Chosen(Source):
    """Some pictures of another source, in their order."""

    def __init__(self, source: Source, chosen: Sequence[int]) -> None:
        self._source, self._chosen = source, chosen

    def encoded(self, index: int) -> bytes:
        """Return the file of a picture."""
        return self._source.encoded(self._chosen[index])

    def image(self, index: int, mode: str) -> Image.Image:
        """Return a picture."""
        return self._source.image(self._chosen[index], mode)


@dataclass
class Pictures:
    """A data set as it was found.

    Attributes:
        names: of the pictures, in the fixed order in which they are evaluated.
        labels: the right answers of each; several, or none, if the data set says so.
        classes: the names of the classes, by number.
        source: reads them.
        stamps: the size and time of change of each file, in nanoseconds; empty if nothing has to be checked.
        place: the folder, archive or name that they come from, for messages.
        problems: with them.
        notes: sentences that a user should know, though nothing is wrong.
        expected: the number of pictures of the whole data set; None if the folder decides.
        left_out: the number of pictures that were found but are not evaluated.
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

    def leave_out(self, numbers: Iterable[int]) -> None:
        """Drop the pictures at some positions, and count them as left out."""
        gone = set(numbers)
        kept = [number for number in range(len(self)) if number not in gone]
        if gone:
            self.names = [self.names[number] for number in kept]
            self.labels = [self.labels[number] for number in kept]
            self.stamps = [self.stamps[number] for number in kept]
            self.source, self.left_out = Chosen(self.source, kept), self.left_out + len(gone)
