"""Judges submissions by every rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from claimbench.bench.core.errors import DEBUG
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.papers import outside
from claimbench.bench.publish.submission import (
    chronology,
    clock_rules,
    counts,
    identity,
    integrity,
    paper_files,
    physics,
    scores,
)
from claimbench.bench.publish.submission.document import Submission
from claimbench.bench.publish.submission.models import Models
from claimbench.bench.publish.submission.read import RULES as READING
from claimbench.bench.publish.submission.read import parse, read
from claimbench.bench.publish.submission.rules import RULES, Case, Reason, Rule, gather

UNJUDGED = "this rule cannot cope with what the file says"

GROUPS = (chronology, counts, identity, integrity, paper_files, physics, scores, clock_rules)
"""The modules whose rules are in :data:`claimbench.bench.publish.submission.rules.RULES`."""

ACROSS = {"duplicate-run": "No two submissions share a run's id."}
"""The rules on several submissions together; ``overlap`` holds across those of one submitter too."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one file.

    Attributes:
        file: its path.
        submission: as it was read; None if that was not possible.
        reasons: of its refusal; empty if it is good.
        notes: sentences on checks that were impossible, and remarks for the reader.
    """

    file: str
    submission: Submission | None
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def sentences() -> dict[str, str]:
    """Return every rule's sentence by its name."""
    return {**READING, **{rule.name: rule.sentence for rule in RULES.values()}, **ACROSS}


class Checker:
    """Judges files, each by itself and then against the good ones before it.

    Args:
        listener: told of each model before it is built.
        now: the present time, if not that of the clock.
        models: the models, if they are known already.
        with_code: whether code of papers that came with a file may be run.
    """

    def __init__(
        self,
        listener: Listener = SILENT,
        *,
        now: datetime | None = None,
        models: Models | None = None,
        with_code: bool = False,
    ) -> None:
        self._listener, self._with_code = listener, with_code
        self._models = models or Models(listener)
        self._now = now
        self._before: list[tuple[str, Case]] = []

    def check(self, file: Path) -> Verdict:
        """Judge one file.

        Raises:
            UserError: the file cannot be read at all.
        """
        return self.check_bytes(read(file), str(file))

    def check_bytes(self, data: bytes, name: str = "") -> Verdict:
        """Judge the content of a file."""
        submission, reasons = parse(data)
        if submission is None:
            return Verdict(name, None, tuple(reasons))
        models, brought = self._models, outside.elsewhere(submission.papers)
        if brought:  # another file may bring other code under the same name
            models = Models(self._listener, () if self._with_code else brought)
        case = Case(submission, models, self._now or datetime.now(UTC))
        with paper_files.known(submission.papers, self._with_code):
            for rule in RULES.values():
                if submission.whole or not rule.whole:
                    reasons += _apply(rule, case)
        for other_name, other in self._before:
            reasons += _against(case, other_name, other)
        if not reasons:
            self._before.append((name, case))
        return Verdict(name, submission, tuple(reasons), tuple(case.notes))


def _apply(rule: Rule, case: Case) -> list[Reason]:
    """Return the findings of a rule; a file that a rule cannot cope with is refused, and the other rules go on."""
    try:
        return list(gather(rule.name, rule.find(case)))
    except Exception as error:  # the file is a stranger's: whatever it does to a rule speaks against it
        if os.environ.get(DEBUG) == "1":
            raise
        return [Reason(rule.name, f"{UNJUDGED} ({type(error).__name__})")]


def _against(case: Case, name: str, other: Case) -> Iterator[Reason]:
    """Compare a submission with an earlier one."""
    mine, theirs = case.submission, other.submission
    if mine.header.run == theirs.header.run:
        yield Reason("duplicate-run", f"{name} holds run {mine.header.run} too")
    elif (mine.environment, mine.header.submitter) == (theirs.environment, theirs.header.submitter):
        for entry, their_entry in chronology.overlaps(case, other):
            where = f"{name}, line {their_entry.line}"
            message = f"the same machine measured something else then ({where})"
            yield Reason("overlap", message, (entry.line,), entry.name)
            return
