"""Locks for work that two processes at once would spoil: the second is refused.

The lock is the kernel's and ends with the process that holds it, even one that is killed: none can be left behind.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from claimbench.bench.core.errors import UserError

_held: set[int] = set()


@contextmanager
def alone(place: Path, refusal: str) -> Iterator[None]:
    """Keep other processes out of ``place`` inside the block, if the file system knows locks.

    Args:
        place: a file or folder that is there and stays there; it is locked itself, so that nothing is left behind.
        refusal: the sentence for a process that finds another at work.

    Raises:
        UserError: another process is in such a block, or the place cannot be opened.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{place} cannot be opened ({error.strerror})") from error
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(refusal) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def folder_alone(folder: Path) -> AbstractContextManager[None]:
    """Make the folder of a training, and keep other trainings out of it inside the block.

    Raises:
        UserError: another process trains there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): name another folder with --out") from error
    return alone(folder, f"another process is training in {folder}: wait for it, or name another folder (--out)")


def _let_go() -> None:
    """Close the locks that a forked process got with its parent's memory: it must not hold them beyond its parent."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
