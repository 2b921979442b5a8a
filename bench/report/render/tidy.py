"""The tidy table as a file: CSV, JSON or Parquet, by the ending of its name."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.report.export import ExportedRow, frame
from claimbench.bench.report.render import csv

ENDINGS = (".csv", ".json", ".parquet")


def check(file: Path) -> None:
    """Find out before anything is read that no table can be written to a file.

    Raises:
        UserError: no format has its ending, or the package that writes the format is not installed.
    """
    if file.suffix not in ENDINGS:
        raise UserError(f"{file} has none of the endings {', '.join(ENDINGS)}, which choose the format")
    if file.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UserError("Parquet is written by pyarrow, which is not installed: pip install 'claimbench[parquet]'")


def content(rows: Sequence[ExportedRow], ending: str) -> bytes:
    """Return the content of a file with one of :data:`ENDINGS`."""
    if ending == ".parquet":
        buffer = io.BytesIO()
        frame(rows).to_parquet(buffer, index=False, engine="pyarrow")
        return buffer.getvalue()
    text = csv.table(rows) if ending == ".csv" else json.dumps(plain(rows), indent=1, allow_nan=False) + "\n"
    return text.encode()


def plain(rows: Sequence[ExportedRow]) -> list[dict[str, str | float | int | None]]:
    """Return exported rows JSON-ready, one object each, with dates in ISO 8601."""
    return [{name: _plain(value) for name, value in asdict(row).items()} for row in rows]


def _plain(value: str | float | datetime | None) -> str | float | None:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
