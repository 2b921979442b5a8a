"""Writing a submission's file, and the sentences about it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.publish.submission.pack import Packed
from claimbench.bench.store.jsonl import write_whole

LONGEST_NAME = 80


def checked_name(name: str) -> str:
    """Return a submitter's name without blanks around it.

    Raises:
        UserError: it is too long, or holds characters that cannot be printed.
    """
    name = name.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"--name takes up to {LONGEST_NAME} printable characters")
    return name


def write(path: Path, data: bytes) -> None:
    """Write a submission; the same bytes for the same run, compressed or not.

    Raises:
        UserError: the file is there already with another content, or cannot be written.
    """
    body = gzip.compress(data, mtime=0) if path.suffix == ".gz" else data
    if path.is_dir():
        raise UserError(f"{path} is a folder: --out takes a file")
    try:
        if path.exists() and path.read_bytes() != body:
            raise UserError(f"{path} exists and holds something else: choose another name with --out")
    except OSError as error:
        raise UserError(f"{path} exists and cannot be read ({error.strerror})") from error
    write_whole(path, body)


def summary(packed: Packed, path: Path | None) -> dict[str, Any]:
    """Return the content of a submission, JSON-ready; with all of its lines if no file was written."""
    return {
        "run": packed.run,
        "device": packed.device,
        "file": None if path is None else str(path),
        "records": packed.records,
        "samples": packed.samples,
        "bytes": len(packed.data),
        "left_out": list(packed.left_out),
        "shortened": list(packed.shortened),
        "papers_from_elsewhere": list(packed.elsewhere),
        "with_papers": packed.with_papers,
        "environment": packed.environment,
        **({"lines": packed.data.decode().splitlines()} if path is None else {}),
    }
