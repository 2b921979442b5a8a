"""Reads TensorFlow checkpoints (the "tensor bundle" of ``tf.train.Saver``, version 2) without TensorFlow.

A bundle is two kinds of files. ``<prefix>.index`` is a LevelDB table that maps each variable's name to a message in
protocol buffers with its dtype, shape, place and size; ``<prefix>.data-<shard>-of-<shards>`` hold the values,
little-endian and row-major. Nothing in either is code. Sources: tensorflow/core/util/tensor_bundle,
tensorflow/core/protobuf/tensor_bundle.proto, and LevelDB's doc/table_format.md.
"""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 6: "|i1", 9: "<i8", 19: "<f2"}
"""NumPy's names for the numbers of TensorFlow's ``DataType``."""

STEP = "global_step"


@dataclass(frozen=True)
class VariableEntry:
    """The place of one variable's values: shard, first byte and number of bytes, with their shape and type."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Return the variables of the one checkpoint in a ``.tar.gz`` archive, by name.

    Left out are the step counter and variables that belong to another one (``<variable>/<slot>``): moving averages and
    the optimiser's memory.

    Raises:
        ValueError: there is no checkpoint in it, or it is damaged.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = {member.name: member for member in archive.getmembers() if member.isfile()}
            indices = [name for name in files if name.endswith(".index")]
            if len(indices) != 1:
                raise ValueError(f"it holds {len(indices)} TensorFlow checkpoints (*.index) where one is expected")
            prefix = indices[0].removesuffix(".index")
            shards = sorted(name for name in files if name.startswith(f"{prefix}.data-"))

            def content(name: str) -> bytes:
                file = archive.extractfile(files[name])
                assert file is not None
                return file.read()

            return read(content(indices[0]), [content(name) for name in shards])
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"the archive is damaged ({error})") from error


def read(index: bytes, shards: list[bytes]) -> dict[str, np.ndarray]:
    """Return the variables of a checkpoint from the content of its files.

    Raises:
        ValueError: a file is damaged, or a variable has a dtype that is no number.
    """
    try:
        entries = {key.decode(): _entry(value) for key, value in _table(index) if key}
        names = [name for name in entries if name != STEP and name.rpartition("/")[0] not in entries]
        return {name: _values(name, entries[name], shards) for name in names}
    except (IndexError, TypeError, KeyError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the checkpoint's index is damaged ({type(error).__name__}: {error})") from error


def _values(name: str, entry: VariableEntry, shards: list[bytes]) -> np.ndarray:
    if entry.dtype not in DTYPES:
        raise ValueError(f"{name} has TensorFlow's dtype {entry.dtype}, which is not read here")
    if entry.shard >= len(shards) or entry.offset + entry.size > len(shards[entry.shard]):
        raise ValueError(f"the values of {name} are missing")
    found = np.frombuffer(shards[entry.shard], np.uint8, entry.size, entry.offset).view(DTYPES[entry.dtype])
    return found.reshape(entry.shape).copy()


def _entry(message: bytes) -> VariableEntry:
    """Read a ``BundleEntryProto``."""
    fields = dict(_fields(message))
    shape = tuple(dict(_fields(dim)).get(1, 0) for number, dim in _fields(fields.get(2, b"")) if number == 2)
    return VariableEntry(fields.get(1, 0), shape, fields.get(3, 0), fields.get(4, 0), fields.get(5, 0))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and value of each field of a protocol-buffer message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield number, message[at : at + length]
            at += length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            yield number, int.from_bytes(message[at : at + width], "little")
            at += width
        else:
            raise ValueError(f"a field of the checkpoint's index has the unknown type {kind}")


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a LevelDB table."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise ValueError("the checkpoint's index is no LevelDB table")
    footer = data[-FOOTER:]
    _, at = _handle(footer, 0)  # of the meta-index, which is empty
    index, _ = _handle(footer, at)
    for _, value in _block(data, *index):
        block, _ = _handle(value, 0)
        yield from _block(data, *block)


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one block; each key repeats the start of the one before it."""
    block = data[offset : offset + size]
    if len(block) < size or data[offset + size] != 0:
        raise ValueError("the checkpoint's index is cut off or compressed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key, block[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number in base 128, lowest digits first, and the position of its end."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
