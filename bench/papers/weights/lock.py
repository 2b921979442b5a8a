"""The lock file beside ``paper.yaml``: the SHA-256 of every file of weights, recorded at its first fetch.

It belongs into version control: a later fetch gets the same bytes or a refusal. If the package's folder cannot be
written, the lock file lies in the cache instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.store import jsonl

FILE = "weights.lock.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Locked:
    """The recorded facts of a file.

    Attributes:
        url: its address, as in ``paper.yaml``.
        sha256: its digest.
        size: in bytes.
        revision: the commit of a hub's repository; empty elsewhere.
    """

    url: str
    sha256: str
    size: int
    revision: str = ""


def find(folders: tuple[Path, ...], variant: str, url: str) -> tuple[Locked, Path] | None:
    """Return the entry of a variant's file at this address, and the lock file that holds it; the first folder wins.

    Raises:
        UserError: a lock file is damaged.
    """
    for folder in folders:
        file = folder / FILE
        found = read(file).get(variant)
        if found is not None and found.url == url:
            return found, file
    return None


def read(file: Path) -> dict[str, Locked]:
    """Return the entries of a lock file, by variant; none if there is no file.

    Raises:
        UserError: it is damaged.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}): restore it from version control") from error
    try:
        return {str(name): _locked(entry) for name, entry in json.loads(text)["weights"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error}): restore it from version control") from error


def record(folders: tuple[Path, ...], variant: str, locked: Locked) -> Path:
    """Record a file in the first of ``folders`` that can be written, and return the lock file.

    Raises:
        UserError: none can be written, or a lock file is damaged.
    """
    for folder in folders[:-1]:
        if os.access(folder, os.W_OK):
            with suppress(UserError):
                return _add(folder, variant, locked)
    return _add(folders[-1], variant, locked)


def _add(folder: Path, variant: str, locked: Locked) -> Path:
    file = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):
        entries = read(file) | {variant: locked}
        jsonl.write_whole(file, _text(entries).encode())
    return file


def _text(entries: Mapping[str, Locked]) -> str:
    """Return the file's text: sorted, a value a line, so that a change is a small difference."""
    weights = {name: {k: v for k, v in asdict(entry).items() if v != ""} for name, entry in entries.items()}
    return json.dumps({"weights": weights}, indent=2, sort_keys=True) + "\n"


def _locked(entry: Any) -> Locked:
    found = Locked(str(entry["url"]), str(entry["sha256"]), int(entry["size"]), str(entry.get("revision", "")))
    if not _SHA256.fullmatch(found.sha256):
        raise ValueError(f"{found.sha256[:80]!r} is not a SHA-256")
    return found


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the folder's lock file; the folder itself is locked, so nothing is left."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
