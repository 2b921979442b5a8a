"""A file that is still being downloaded: its bytes so far, and the server's description of their file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from claimbench.bench.data.download import cache

CHECK_EVERY = 32 << 20
"""Bytes between two looks at the free disk space."""


class Part:
    """The part of a file that is here.

    Bytes may only be added to those that came from the same version of the file. The server names the version by a
    validator, an ETag or a date; a part without one cannot be continued.

    Attributes:
        path: of the bytes; the validator lies beside them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """The number of bytes that are here."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self, url: str) -> str:
        """Return the validator of the bytes of ``url``; empty if they cannot be continued."""
        try:
            about = json.loads(self._about.read_text(encoding="utf-8"))
            return str(about["validator"]) if about["url"] == url and self.size else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, headers: Mapping[str, str]) -> None:
        """Drop the bytes here and remember the version that is about to come.

        Raises:
            UserError: the folder cannot be written.
        """
        about = json.dumps({"url": url, "validator": validator_of(headers)})
        try:
            self.path.write_bytes(b"")
            self._about.write_text(about, encoding="utf-8")
        except OSError as error:
            raise cache.unwritable(self.path, error) from error

    @contextmanager
    def append(self) -> Iterator[Callable[[bytes], None]]:
        """Give the block a function that adds bytes at the end, and watches the disk.

        Raises:
            UserError: the disk is full or nearly so, or cannot be written; the part that came before stays.
        """
        unchecked = 0

        def write(data: bytes) -> None:
            nonlocal unchecked
            if unchecked >= CHECK_EVERY:
                cache.check_room(self.path.parent, len(data))
                unchecked = 0
            file.write(data)
            unchecked += len(data)

        try:
            with self.path.open("ab") as file:
                try:
                    yield write
                finally:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise cache.unwritable(self.path, error) from error

    def drop(self) -> None:
        """Remove everything."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Move the whole file to ``target``, replacing an old one at once.

        Raises:
            UserError: it cannot be moved.
        """
        try:
            self.path.replace(target)
            self._about.unlink(missing_ok=True)
        except OSError as error:
            raise cache.unwritable(target, error) from error


def validator_of(headers: Mapping[str, str]) -> str:
    """Return the content of an ``If-Range`` header: a strong ETag, else the date of the last change, else nothing."""
    tag = headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("last-modified", "")
