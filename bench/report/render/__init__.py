"""Reports as text: one module a format, each with ``render(reports, width, all) -> str``.

Texts in a report (names, error messages, quotations) may be hostile: each format escapes its own markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import get_args

from claimbench.bench.core.errors import unknown
from claimbench.bench.core.rounding import show
from claimbench.bench.report.report import Report, Setup
from claimbench.bench.report.rows import Row
from claimbench.bench.report.speed import TIMES, TimedPair
from claimbench.bench.report.tally import tally
from claimbench.bench.report.verdicts import Degree

FORMATS = ("terminal", "markdown", "latex", "csv", "json")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def render(report: Report, format: str = "terminal", width: int = 110) -> str:
    """Return a report as text in one of :data:`FORMATS`; see :func:`render_all`."""
    return render_all((report,), format, width)


def render_all(reports: Sequence[Report], format: str, width: int = 110, *, all: bool = True) -> str:
    """Return reports as one text.

    Args:
        reports: of one paper each.
        format: one of :data:`FORMATS`.
        width: in columns; it matters on a terminal only.
        all: whether LaTeX shows every row, in long tables; else a line a model, as papers do.

    Raises:
        UserError: there is no such format.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    text: str = import_module(f"claimbench.bench.report.render.{format}").render(reports, width, all)
    return text


def clean(text: str) -> str:
    """Return text on one line, with characters that control a terminal or the direction of writing made visible."""
    return _CONTROL.sub(lambda found: _visible(found.group()), " ".join(re.split(r"[\n\r\t]+", text)))


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class Notes:
    """Numbers texts in the order in which they are first used."""

    def __init__(self, marks: str = "number") -> None:
        self._marks = marks
        self.texts: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """Return the mark of a text, a new one if it is new; empty for an empty text."""
        text = clean(text)
        if text and text not in self.texts:
            number = len(self.texts)
            self.texts[text] = str(number + 1) if self._marks == "number" else _letters(number)
        return self.texts.get(text, "")

    def lines(self) -> list[str]:
        """Return ``[mark] text`` for each."""
        return [f"[{mark}] {text}" for text, mark in self.texts.items()]


def _letters(number: int) -> str:
    """Return a, b, ..., z, aa, ab, ..."""
    text = chr(97 + number % 26)
    return text if number < 26 else _letters(number // 26 - 1) + text


@dataclass(frozen=True)
class Line:
    """A row as the cells of a table; no text in it controls anything, but it is not escaped for any format."""

    subject: str
    metric: str
    conditions: str
    reported: str
    measured: str
    verdict: str
    why: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Line:
        """Return the cells of a row."""
        by_how_much = row.verdict in ("differs", "better")
        verdict = "explained" if row.explained else "off" if row.verdict == "differs" else row.verdict
        return cls(
            subject=clean(f"{row.subject} ({row.form})" if row.form else row.subject),
            metric=clean(row.title),
            conditions=clean(row.conditions),
            reported=clean(row.reported or ("none" if row.source else "")),
            measured=clean(row.measured),
            verdict=clean(f"{verdict} {row.detail}" if by_how_much else verdict),
            why=tuple(clean(text) for text in ("" if by_how_much else row.detail, *row.notes) if text),
        )


def pair_cells(pair: TimedPair) -> tuple[str, ...]:
    """Return a pair as the cells of :data:`PAIR_TITLES`."""
    ratio = f"{show(pair.ratio, 2, 3)}{TIMES}"
    if pair.low is not None and pair.high is not None:
        ratio += f" [{show(pair.low, 2, 3)}, {show(pair.high, 2, 3)}]"
    what = ", ".join(text for text in (pair.title, pair.conditions) if text)
    return tuple(map(clean, (pair.first, pair.second, pair.verdict, ratio, what, pair.reason)))


PAIR_TITLES = ("Model", "Against", "Verdict", "Speed", "What", "Why")
CLAIM_TITLES = ("Claim", "Verdict", "Evidence", "Limits", "Source")


def claim_cells(report: Report) -> list[tuple[str, ...]]:
    """Return the claims as cells."""
    return [
        tuple(map(clean, (claim.text, claim.verdict, claim.evidence, claim.limits, claim.source)))
        for claim in report.claims
    ]


def summary(report: Report) -> str:
    """Return the number of figures of each degree in a line; records of the official code are counted apart."""
    found = tally(report.rows)
    counts = ((found[degree], degree) for degree in get_args(Degree) if found[degree])
    parts = [f"{count} {'hold' if degree == 'holds' and count > 1 else degree}" for count, degree in counts]
    if found["compared"]:
        parts.append(f"equal to the official code in {found['parity']} of {found['compared']} models")
    return ", ".join(parts)


def setup_lines(setup: Setup) -> list[str]:
    """Return the circumstances of the measurements, a fact a line."""
    days = setup.first if setup.first == setup.last else f"{setup.first} to {setup.last}"
    runs = f"run{'s' * (len(setup.runs) > 1)} {', '.join(setup.runs)}"
    facts = [
        f"Measured on {setup.device}" + (f" ({setup.machine})" if setup.machine else ""),
        f"Software: {setup.software}" if setup.software else "",
        f"Commit: {setup.commit or 'unknown (not a checkout)'}; {days}; {runs}",
        *(f"{title}: {method}" for title, method in setup.methods),
    ]
    return [clean(fact) for fact in facts if fact]
