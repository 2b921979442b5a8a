"""The cache of weights on this machine: a folder a paper, in it a file a variant."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from claimbench.bench.core.errors import UserError

VARIABLE = "BENCH_WEIGHTS"
"""The environment variable that names another folder."""

RESERVE = 64 << 20
"""Bytes that a download leaves free on the disk."""


def folder(given: Path | None = None) -> Path:
    """Return the folder of the cache: the one given, else that of the environment, else in the user's cache folder."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    chosen = given or (Path(named) if named else user_cache_path("claimbench") / "weights")
    return chosen.expanduser().absolute()


@contextmanager
def alone(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep every other process from fetching ``file`` while the block runs; wait for one that is.

    Args:
        file: a file of the cache; its folder is made.
        waiting: called once if there is another process to wait for.

    Raises:
        UserError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file.parent / f".{file.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise unwritable(file.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def check_room(at: Path, needed: int) -> None:
    """Check that ``needed`` bytes more fit on the disk of the folder ``at``.

    Raises:
        UserError: they do not.
    """
    free = shutil.disk_usage(at).free
    if needed + RESERVE > free:
        raise UserError(
            f"the disk of {at} has {size_text(free)} free and {size_text(needed + RESERVE)} are needed: make room, or "
            f"choose another folder with --cache or {VARIABLE}"
        )


def unwritable(path: Path, error: OSError) -> UserError:
    """Return the error for a cache that cannot be written."""
    return UserError(
        f"{path} cannot be written ({error.strerror or error}): choose another folder with --cache or {VARIABLE}"
    )


def size_text(count: float) -> str:
    """Return a number of bytes in words: ``27.3 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
