"""Reasons to refuse a submission, gathered from the doubts about its places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.report.render import clean

Doubt = tuple[Entry | int | None, str]
"""A finding of a rule: the record (or the line) that it is about, None for the whole file, and a sentence's worth."""

SHOWN = 20
"""The most different reasons of one rule that are listed; another says that there are more."""

LONGEST = 400
"""Characters of a message."""


@dataclass(frozen=True)
class Reason:
    """One reason to refuse.

    Attributes:
        rule: the rule's name.
        message: the error, one line.
        lines: the lines of the file that it is about; empty for the whole file.
        about: the first of the records there, in words.
    """

    rule: str
    message: str
    lines: tuple[int, ...] = ()
    about: str = ""

    def __str__(self) -> str:
        about = f" ({self.about})" if self.about else ""
        more = f" and {len(self.lines) - 1} more" if len(self.lines) > 1 else ""
        place = f"line {self.lines[0]}{about}{more}: " if self.lines else ""
        return f"{place}{self.message} [{self.rule}]"


def gather(rule: str, doubts: Iterable[Doubt]) -> Iterator[Reason]:
    """Yield one reason for each different message, at most :data:`SHOWN` of them."""
    places: dict[str, list[Entry | int]] = {}
    more = False
    for place, message in doubts:
        more = message not in places and len(places) == SHOWN
        if more:
            break
        places.setdefault(message, []).extend([] if place is None else [place])
    for message, found in places.items():
        lines = tuple(place if isinstance(place, int) else place.line for place in found)
        about = next((place.name for place in found if not isinstance(place, int)), "")
        yield Reason(rule, _one_line(message), lines, _one_line(about))
    if more:
        yield Reason(rule, f"and more reasons of this kind than these {SHOWN}")


def _one_line(message: str) -> str:
    """Return a message that may quote the file: without characters that move a terminal's cursor, and shortened."""
    text = clean(message)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
