"""A file that is still being downloaded: its bytes so far, and what the server said of the file they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from claimbench.bench.data.download import cache

CHECK_EVERY = 32 << 20
"""Bytes between two looks at the free disk space."""


class Part:
    """The part of a file that is here.

    Bytes may only be added to those that came from the same version of the file. The server names the version by a
    validator, an ETag or a date; a part without one cannot be continued.

    Attributes:
        path: where the bytes are; the validator lies beside them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """How many bytes are here."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self, url: str) -> str:
        """Return what names the version that the bytes of ``url`` belong to; empty if they cannot be continued."""
        try:
            about = json.loads(self._about.read_text(encoding="utf-8"))
            return str(about["validator"]) if about["url"] == url and self.size else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, headers: Mapping[str, str]) -> None:
        """Drop what is here and remember the version that is about to come.

        Raises:
            UserError: the folder cannot be written.
        """
        about = json.dumps({"url": url, "validator": validator_of(headers)})
        try:
            self.path.write_bytes(b"")
            self._about.write_text(about, encoding="utf-8")
        except OSError as error:
            raise cache.unwritable(self.path, error) from error

    def append(self) -> Writer:
        """Return what adds bytes at the end."""
        return Writer(self.path)

    def drop(self) -> None:
        """Remove everything."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Move the whole file to ``target``, replacing what is there at once.

        Raises:
            UserError: it cannot be moved.
        """
        try:
            self.path.replace(target)
            self._about.unlink(missing_ok=True)
        except OSError as error:
            raise cache.unwritable(target, error) from error


class Writer:
    """Adds bytes to a part and watches the disk; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._unchecked = 0

    def __enter__(self) -> Writer:
        try:
            self._file = self._path.open("ab")
        except OSError as error:
            raise cache.unwritable(self._path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise cache.unwritable(self._path, error) from error

    def write(self, data: bytes) -> None:
        """Add ``data``.

        Raises:
            UserError: the disk is full or nearly so, or cannot be written; what came before stays.
        """
        assert self._file is not None
        if self._unchecked >= CHECK_EVERY:
            cache.check_room(self._path.parent, len(data))
            self._unchecked = 0
        try:
            self._file.write(data)
        except OSError as error:
            raise cache.unwritable(self._path, error) from error
        self._unchecked += len(data)


def validator_of(headers: Mapping[str, str]) -> str:
    """Return what an ``If-Range`` header may hold: a strong ETag, else the date of the last change, else nothing."""
    tag = headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("last-modified", "")
