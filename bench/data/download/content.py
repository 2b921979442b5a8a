"""Whether a file can be weights, told from its bytes: a page, a pointer or half an archive is not."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path

HEAD = 512
"""The number of bytes at the start of a file that identify its format."""

_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype|html|head|body|title|script|meta)\b", re.IGNORECASE | re.DOTALL)


def page_problem(head: bytes) -> str:
    """Return the kind of text for people that the first bytes of a body show; empty if they are those of a file."""
    if _PAGE.match(head):
        return "a web page instead of a file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer instead of the file"
    if head.lstrip().startswith((b"<?xml", b"<Error")):
        return "an XML message instead of a file"
    return ""


def problem(path: Path) -> str:
    """Return the reason that a file cannot be weights, one phrase; empty if it can.

    Whole are: a zip archive with its directory, a safetensors file as long as its header says, a gzip file with its
    check sum. A file of torch's older format is only known to be whole when it is loaded.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
    if size == 0:
        return "it is empty"
    page = page_problem(head)
    if page:
        return f"it is {page}"
    if head.startswith(b"PK\x03\x04"):
        return "" if zipfile.is_zipfile(path) else "it is cut off: the end of the archive is missing"
    if head.startswith(b"\x1f\x8b"):
        return _gzip_problem(path)
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or head[257:262] == b"ustar":
        return ""
    return _safetensors_problem(path, head, size)


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed as a whole, as archives of TensorFlow checkpoints are."""
    return _begins(path, 2) == b"\x1f\x8b"


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like a safetensors file, whatever its name; one that cannot be read does not."""
    head = _begins(path, 9)
    return len(head) == 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _begins(path: Path, count: int) -> bytes:
    """Return the first bytes of a file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def _safetensors_problem(path: Path, head: bytes, size: int) -> str:
    if head[8:9] != b"{":
        return f"it is neither a torch file nor safetensors: it begins with {head[:24]!r}"
    length = int.from_bytes(head[:8], "little")
    if 8 + length > size:
        return "it is cut off in its header"
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "it is neither a torch file nor safetensors: its header cannot be read"
    expected = 8 + length + max(ends, default=0)
    return "" if expected == size else f"it has {size} bytes and its header promises {expected}"


def _gzip_problem(path: Path) -> str:
    """Unpack to nowhere: a gzip file ends with the check sum of its content."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                unpack.decompress(block)
    except zlib.error as error:
        return f"it is a damaged gzip file ({error})"
    return "" if unpack.eof else "it is cut off: the end of the gzip file is missing"
