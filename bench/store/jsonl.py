"""Files of one JSON object a line that only grow, and survive a kill, a full disk and two writers at any moment.

A line counts once it is whole. Bytes after the last newline are a line that was being written when its writer died:
if they are a whole object only the newline is missing, otherwise readers ignore them. The next writer finishes or cuts
off such a tail before it appends; it never touches a line that is whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

import orjson

from claimbench.bench.core.errors import UserError

_SCRATCH = re.compile(r"[0-9a-f]{32}")


def append(path: Path, lines: Iterable[bytes]) -> None:
    """Append ``lines`` (without newlines) in one write, and return once they are on the disk.

    Raises:
        UserError: the file cannot be written; nothing of ``lines`` is left in it.
    """
    data = b"".join(line + b"\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as descriptor:
            start = _heal(descriptor)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, start)
                raise
    except OSError as error:
        raise _unwritable(path, error) from error


def read(path: Path) -> tuple[list[bytes], bool]:
    """Return the whole lines of a file, and whether a torn one follows them.

    Raises:
        OSError: the file cannot be read.
    """
    lines = path.read_bytes().split(b"\n")
    tail = lines.pop()
    if tail and is_object(tail):
        return [*lines, tail], False
    return lines, bool(tail)


def is_object(line: bytes) -> bool:
    """Whether ``line`` is one whole JSON object. The beginning of an object never is."""
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, whatever happens.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of ``path``, whole and on the disk, if the block ends well.

    What writers that were killed have left of such files beside it is removed.

    Raises:
        OSError: the file cannot be written; the old content is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leavings(path)
    file = _claimed(path)
    scratch = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)


def _claimed(path: Path) -> IO[bytes]:
    """Return a new file beside ``path``, locked as long as it is open: whoever can lock such a file finds it left."""
    while True:
        file = path.with_name(f".{path.name}.{uuid.uuid4().hex}").open("xb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # not taken for left before it was locked
            return file
        file.close()


def _remove_leavings(path: Path) -> None:
    """Remove the unfinished files of writers that are no more."""
    for left in path.parent.glob(f".{escape(path.name)}.*"):
        if not _SCRATCH.fullmatch(left.name.removeprefix(f".{path.name}.")):
            continue
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file for appending, to the exclusion of other writers where the file system knows locks."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if new:
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` in one write; on a full disk a second write raises the error."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _heal(descriptor: int) -> int:
    """Finish or cut off a torn last line, and return where the next line starts."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    start = _line_start(descriptor, size)
    if is_object(os.pread(descriptor, size - start, start)):
        _write_all(descriptor, b"\n")
        return size + 1
    os.ftruncate(descriptor, start)
    return start


def _line_start(descriptor: int, end: int, block: int = 1 << 16) -> int:
    """Return the start of the line that ends at ``end``, reading backwards."""
    while end > 0:
        begin = max(0, end - block)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _unwritable(path: Path, error: OSError) -> UserError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return UserError(f"{path} cannot be written (a file is where a folder must be: {error.filename})")
    return UserError(f"{path} cannot be written ({error.strerror or error})")


def sync_folder(folder: Path) -> None:
    """Put a folder's list of files on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
