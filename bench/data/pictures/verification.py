"""Reads every picture once, before a run, and remembers which are whole: a second check costs a look at the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import orjson
from PIL import UnidentifiedImageError
from platformdirs import user_cache_path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.picture_reader import decode
from claimbench.bench.store import jsonl

CHUNK = 256
RULES = "8 bits, nothing transparent"
"""The rules of the check that a remembered picture passed; another text makes every cache forget."""

ZEROS = 512
"""A JPEG that ends in this many zeros was never written to its end: a whole one ends in a marker."""


def unreadable(pictures: Pictures, listener: Listener = SILENT) -> dict[int, str]:
    """Return the pictures that cannot be read or are not whole, each with the reason.

    Files that were checked before and have the same size and time of change are not read again.
    """
    if not pictures.stamps:
        return {}
    cache = _cache_file(pictures.place)
    known = _load(cache)
    stamps = [list(stamp) for stamp in pictures.stamps]
    found = {n: known.get(name) for n, name in enumerate(pictures.names)}
    fresh = [n for n, entry in found.items() if entry is None or entry[:2] != stamps[n]]
    try:
        for done, (number, reason) in enumerate(_checked(pictures, fresh), 1):
            found[number] = known[pictures.names[number]] = [*stamps[number], reason]
            if done % CHUNK == 0 or done == len(fresh):
                listener.at(done, len(fresh))
    finally:
        if fresh:
            _save(cache, known)
    return {n: str(entry[2]) for n, entry in found.items() if entry is not None and entry[2]}


def defect(data: bytes, name: str = "") -> str:
    """Return the fault of a picture's file called ``name``, a phrase; empty if it is whole and can be read."""
    if not data:
        return "empty file"
    if not data.strip(b"\0"):
        return "nothing but zeros"
    if data[:2] == b"\xff\xd8" and data.endswith(bytes(ZEROS)):
        return "its end was never written"
    try:
        decode(data, name=name)
    except UnidentifiedImageError:
        return "not a picture"
    except OSError as error:
        return "cut off" if "truncated" in str(error).lower() else str(error) or "cannot be decoded"
    except Exception as error:  # decoders of rare formats raise anything
        return f"cannot be decoded, {type(error).__name__}"
    return ""


def _checked(pictures: Pictures, numbers: list[int]) -> Iterator[tuple[int, str]]:
    """Yield each picture with its fault; decoding releases the interpreter's lock, so that threads are enough."""

    def check(number: int) -> tuple[int, str]:
        try:
            return number, defect(pictures.source.encoded(number), Path(pictures.names[number]).name)
        except OSError as error:
            return number, (error.strerror or str(error)).lower()

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        try:
            for start in range(0, len(numbers), CHUNK):
                yield from threads.map(check, numbers[start : start + CHUNK])
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _cache_file(place: str) -> Path:
    name = hashlib.sha256(f"{RULES}\0{os.path.realpath(place)}".encode(errors="surrogateescape")).hexdigest()[:24]
    return user_cache_path("claimbench") / "pictures" / f"{name}.json"


def _load(cache: Path) -> dict[str, list[int | str]]:
    with suppress(OSError, orjson.JSONDecodeError, AttributeError):
        return {k: v for k, v in orjson.loads(cache.read_bytes()).items() if isinstance(v, list) and len(v) == 3}
    return {}


def _save(cache: Path, known: dict[str, list[int | str]]) -> None:
    """Remember; a cache that cannot be written only costs time."""
    with suppress(UserError, TypeError, ValueError):
        jsonl.write_whole(cache, orjson.dumps({k: v for k, v in known.items() if k.isprintable()}))
