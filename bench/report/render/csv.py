"""CSV for spreadsheets: one line a row. A text that a spreadsheet would run as a formula begins with an apostrophe."""

from __future__ import annotations

from claimbench.bench.report.render import clean, plain
from claimbench.bench.report.report import Report


def render(report: Report, width: int = 0) -> str:
    """Return the rows of a report as CSV with a header; numbers are not rounded."""
    import pandas as pd

    rows = [{name: _cell(value) for name, value in plain(row).items()} for row in report.rows]
    text: str = pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
    return text


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text
