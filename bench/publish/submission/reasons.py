"""Reasons to refuse a submission: rules, each a function with a name and a sentence, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claimbench.bench.report.render import clean

if TYPE_CHECKING:
    from claimbench.bench.publish.submission.case import Case
    from claimbench.bench.publish.submission.document import Entry

Doubt = tuple["Entry | int | None", str]
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
        return f"{self._place()}{self.message} [{self.rule}]"

    def _place(self) -> str:
        if not self.lines:
            return ""
        more = f" and {len(self.lines) - 1} more" if len(self.lines) > 1 else ""
        about = f" ({self.about})" if self.about else ""
        return f"line {self.lines[0]}{about}{more}: "


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: as it stands behind each reason.
        sentence: the requirement that good submissions keep to.
        find: yields the breaches of it.
        whole: whether it can be judged only if every line of the file could be read.
    """

    name: str
    sentence: str
    find: Callable[[Case], Iterable[Doubt]]
    whole: bool = False


RULES: dict[str, Rule] = {}
"""Every rule on the content of a file, in the order in which they were written."""

Finder = Callable[["Case"], Iterable[Doubt]]


def rule(name: str, sentence: str, *, whole: bool = False) -> Callable[[Finder], Finder]:
    """Make a function a rule; see :class:`Rule`."""

    def register(find: Finder) -> Finder:
        RULES[name] = Rule(name, sentence, find, whole)
        return find

    return register


def gather(name: str, doubts: Iterable[Doubt]) -> Iterator[Reason]:
    """Yield one reason for each different message, at most :data:`SHOWN` of them."""
    places: dict[str, list[Entry | int]] = {}
    more = False
    for place, message in doubts:
        if message not in places and len(places) == SHOWN:
            more = True
            break
        places.setdefault(message, []).extend([] if place is None else [place])
    for message, found in places.items():
        lines = tuple(place if isinstance(place, int) else place.line for place in found)
        about = next((place.name for place in found if not isinstance(place, int)), "")
        yield Reason(name, _one_line(message), lines, _one_line(about))
    if more:
        yield Reason(name, f"and more reasons of this kind than these {SHOWN}")


def _one_line(message: str) -> str:
    """Return a message that may quote the file: without characters that move a terminal's cursor, and shortened."""
    text = clean(message)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
