"""A folder that holds a site and nothing else: it is replaced whole, so that readers see the old site or the new."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from claimbench.bench.core.errors import UserError

MARK = ".claimbench-site"
"""A file in every site; a folder without it is never replaced unless it is empty."""


def check(target: Path) -> None:
    """Refuse a target that holds something else than a site.

    Raises:
        UserError: it is a file, or a folder of something else.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{target} is not a folder: name one that is empty or does not exist yet")
    if target.is_dir() and not (target / MARK).exists() and any(target.iterdir()):
        raise UserError(
            f"{target} holds files that are not a leaderboard's, and would be replaced: name a folder that is empty, "
            "does not exist yet or was made by `bench leaderboard`"
        )


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well it takes the place of ``target``, else nothing has changed.

    Others who replace the same folder at the same time wait for their turn.

    Raises:
        UserError: the target holds something else, or cannot be written.
    """
    check(target)
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target):
            check(target)
            new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            try:
                new.chmod(0o755)
                yield new
                (new / MARK).touch()
                _swap(new, target)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error})") from error


@contextmanager
def _turn(target: Path) -> Iterator[None]:
    lock = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _swap(new: Path, target: Path) -> None:
    """Exchange ``new`` and ``target``; ``target`` may be absent."""
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
