"""Where pictures are read from: files of a folder, members of tar archives, arrays in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.data.pictures.files import decode

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Files:
    """The files of a folder, by their names below it."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root, self._names = str(root), names

    def encoded(self, index: int) -> bytes:
        """Return the content of a file; see :class:`claimbench.bench.data.pictures.collection.Encoded`."""
        return Path(self._root, self._names[index]).read_bytes()

    def image(self, index: int, mode: str) -> Image:
        """Return a picture; see :class:`claimbench.bench.data.pictures.collection.Source`."""
        return decode(self.encoded(index), mode, name=os.path.basename(self._names[index]))  # noqa: PTH119 - for each picture


class Members:
    """Members of tar archives that are not compressed, each read from its place in the archive.

    Reading at an offset needs no state, so that any number of processes can do it in any order. timm's and webdataset's
    own readers stream instead: they pass over what they cannot decode, and hand shards to workers unevenly.
    """

    def __init__(self, archives: Sequence[Path], places: Sequence[tuple[int, int, int]]) -> None:
        """Take the archives, and of each member the archive's number, the offset of its content and its length."""
        self._archives, self._places = [str(path) for path in archives], places
        self._open: dict[tuple[int, int], int] = {}

    def encoded(self, index: int) -> bytes:
        """Return the content of a member; see :class:`claimbench.bench.data.pictures.collection.Encoded`."""
        archive, offset, length = self._places[index]
        data = os.pread(self._descriptor(archive), length, offset)
        if len(data) != length:
            raise OSError("the archive ends before it")
        return data

    def image(self, index: int, mode: str) -> Image:
        """Return a picture; see :class:`claimbench.bench.data.pictures.collection.Source`."""
        return decode(self.encoded(index), mode)

    def _descriptor(self, archive: int) -> int:
        key = (os.getpid(), archive)
        if key not in self._open:
            self._open[key] = os.open(self._archives[archive], os.O_RDONLY | os.O_CLOEXEC)
        return self._open[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}


class Arrays:
    """Pictures in memory: (N, H, W) in grey or (N, H, W, 3) in colour, 0 to 255."""

    def __init__(self, arrays: np.ndarray) -> None:
        self._arrays = arrays

    def image(self, index: int, mode: str) -> Image:
        """Return a picture; see :class:`claimbench.bench.data.pictures.collection.Source`."""
        from PIL import Image

        return Image.fromarray(self._arrays[index]).convert(mode)


class Chosen:
    """Some pictures of another source, in their order."""

    def __init__(self, source: Any, chosen: Sequence[int]) -> None:
        self._source, self._chosen = source, chosen

    def encoded(self, index: int) -> bytes:
        """Return the file of a picture; see :class:`claimbench.bench.data.pictures.collection.Encoded`."""
        data: bytes = self._source.encoded(self._chosen[index])
        return data

    def image(self, index: int, mode: str) -> Image:
        """Return a picture; see :class:`claimbench.bench.data.pictures.collection.Source`."""
        found: Image = self._source.image(self._chosen[index], mode)
        return found
