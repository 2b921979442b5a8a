"""Rules: what good submissions keep to, what they can be held against here, and the reasons to refuse them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.grouping import grouped
from claimbench.bench.publish.submission.document import Entry, Submission
from claimbench.bench.publish.submission.models import Facts, Models
from claimbench.bench.report.render import clean
from claimbench.bench.store.evidence.fields import RowEvidence

Doubt = tuple[Entry | int | None, str]
"""A finding of a rule: the record (or the line) that it is about, None for the whole file, and a sentence's worth."""

SHOWN = 20
"""The most different reasons of one rule that are listed; another says that there are more."""

LONGEST = 400
"""Characters of a message."""

MOST_NOTES = 50

E = TypeVar("E", bound=RowEvidence)


@dataclass
class Case:
    """A submission before the rules.

    Attributes:
        submission: as it was read.
        models: the models here.
        now: the present time.
        notes: sentences on checks that were impossible, and remarks for the reader; rules add to them.
    """

    submission: Submission
    models: Models
    now: datetime
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every record."""
        return self.submission.entries

    @property
    def environment(self) -> dict[str, Any]:
        """The environment of the measurements."""
        return self.submission.environment

    @cached_property
    def measured(self) -> list[tuple[Entry, float]]:
        """The records with a value, each with that."""
        return [(entry, entry.row.value) for entry in self.entries if entry.row.value is not None]

    def rows(self, *metrics: str) -> list[tuple[Entry, float]]:
        """Return the measured records of some rows, each with its value."""
        return [(entry, value) for entry, value in self.measured if entry.row.metric in metrics]

    def of(self, kind: type[E]) -> list[tuple[Entry, E]]:
        """Return the measured records with evidence of a kind, each with that."""
        return [(entry, entry.evidence) for entry, _ in self.measured if isinstance(entry.evidence, kind)]

    def facts(self, entry: Entry) -> Facts | None:
        """Return the facts of a record's model; None if there are none, which is noted unless the model is unknown."""
        try:
            facts = self.models.facts(entry.job)
        except UserError:
            return None  # the rule unknown-variant says so
        if isinstance(facts, str):
            name = f"{entry.job.subject} {entry.job.form}"
            self.note(f"{name} cannot be built here, its counts are not checked: {facts}")
            return None
        return facts

    def note(self, text: str) -> None:
        """Remember something that is not a reason to refuse."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(text)


Finder = Callable[[Case], Iterable[Doubt]]


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
    find: Finder
    whole: bool = False


RULES: dict[str, Rule] = {}
"""Every rule on the content of a file, in the order in which they were written."""


def rule(name: str, sentence: str, *, whole: bool = False) -> Callable[[Finder], Finder]:
    """Make a function a rule; see :class:`Rule`."""

    def register(find: Finder) -> Finder:
        RULES[name] = Rule(name, sentence, find, whole)
        return find

    return register


def each(*of: Any) -> Callable[[Callable[[Case, Entry, Any], Iterable[str]]], Finder]:
    """Make a finder of a function that yields the problems of one record.

    Args:
        of: a class of evidence, or the names of rows; the function is given each such record that was measured, and
            its evidence or its value.
    """

    def finder(problems: Callable[[Case, Entry, Any], Iterable[str]]) -> Finder:
        def find(case: Case) -> Iterator[Doubt]:
            for entry, found in case.of(*of) if isinstance(of[0], type) else case.rows(*of):
                yield from ((entry, problem) for problem in problems(case, entry, found))

        return find

    return finder


def rounds(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the records of each configuration together, those that differ in their round only."""
    return list(grouped(entries, lambda entry: entry.job.config().key()).values())


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
