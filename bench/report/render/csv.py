"""CSV for spreadsheets and pandas: the tidy table, a header and one line a row.

A text that a spreadsheet would run as a formula begins with an apostrophe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import normalize

from claimbench.bench.report.export import ExportedRow, exported, frame
from claimbench.bench.report.report import Report


def render(reports: Sequence[Report], width: int = 0, all: bool = True) -> str:
    """Return the rows of reports as one CSV table; numbers are not rounded."""
    return table(exported(reports))


def table(rows: Iterable[ExportedRow]) -> str:
    """Return exported rows as CSV with a header; dates are in ISO 8601."""
    cells = frame(rows)
    texts = cells.select_dtypes("string")
    cells[texts.columns] = texts.map(_harmless)
    text: str = cells.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%SZ")
    return text


def _harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; full-width signs begin one too in some."""
    return f"'{text}" if normalize("NFKC", text).lstrip()[:1] in ("=", "+", "-", "@") else text
