"""Rules on the time of measurement: in the past, in order, one thing at a time, after the code was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, product

from claimbench.bench.core.files import checkout
from claimbench.bench.machine.environment import git
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.rules import Case, Doubt, rule
from claimbench.bench.store.evidence.of_models import EnergyEvidence, TimeEvidence
from claimbench.bench.store.store import when

BEGINNING = datetime(2026, 11, 21, tzinfo=UTC)
"""The day of this suite's first commit."""

CLOCKS_DIFFER = timedelta(minutes=10)
"""Another machine's clock may be ahead of ours by this time."""

SLACK = timedelta(seconds=1.5)
"""Times are noted in whole seconds, and shortly after the measurement."""


def spans(case: Case) -> list[tuple[datetime, datetime, Entry]]:
    """Return the least span of each timed measurement, from and until, by its end; the shortest are left out."""
    found = []
    for entry in case.entries:
        end, timed = when(entry.record.time), isinstance(entry.evidence, TimeEvidence | EnergyEvidence)
        seconds = entry.evidence.machine.seconds if timed and entry.row.value is not None else 0
        if end is not None and SLACK.total_seconds() < seconds < 1e6:
            found.append((end + SLACK - timedelta(seconds=seconds), end, entry))
    return sorted(found, key=lambda span: span[1])


def overlaps(case: Case, other: Case) -> Iterator[tuple[Entry, Entry]]:
    """Yield the timed measurements of two submissions that were made at one time."""
    for (start, end, entry), (other_start, other_end, other_entry) in product(spans(case), spans(other)):
        if start < other_end and other_start < end:
            yield entry, other_entry


@rule(
    "impossible-time",
    "Times are in UTC, in the order of the records, not in the future, and not before the suite, the run or its code.",
)
def _times(case: Case) -> Iterator[Doubt]:
    started = when(case.submission.header.run.partition("-")[0])
    if started is None:
        yield None, "the run's id does not begin with a time"
    before: datetime | None = None
    for entry in case.entries:
        time, written = when(entry.record.time), commit_time(entry.record.commit)
        if time is None:
            yield entry, f"its time {entry.record.time!r} is not one in UTC"
            continue
        if time > case.now + CLOCKS_DIFFER:
            yield entry, f"it was measured at {time:%Y-%m-%d %H:%M} UTC, and now it is {case.now:%Y-%m-%d %H:%M}"
        if time < BEGINNING:
            yield entry, f"it was measured at {time:%Y-%m-%d}, and this suite began on {BEGINNING:%Y-%m-%d}"
        elif started is not None and time < started - timedelta(seconds=1):
            yield entry, "it was measured before its run began, by the run's id"
        elif written is not None and time < written - CLOCKS_DIFFER:
            yield entry, f"it was measured before its commit was written ({written:%Y-%m-%d %H:%M} UTC)"
        elif written is None and case.submission.whole:
            case.note("a commit that it was measured with is not in this repository: what that code does is not known")
        if before is not None and time < before:
            yield entry, "it was measured before the record above it"
        before = time


@rule("overlap", "A device does one timed measurement at a time.")
def _overlap(case: Case) -> Iterator[Doubt]:
    for (_, end, earlier), (start, _, later) in pairwise(spans(case)):
        if start < end:
            seconds = (end - start).total_seconds()
            yield later, f"it overlaps with line {earlier.line} ({earlier.name}) by {seconds:.1f} s"


@cache
def commit_time(commit: str) -> datetime | None:
    """Return the time of a commit of this repository; None if it, or the repository, is not here."""
    root = checkout()
    found = git(root, "show", "-s", "--format=%ct", f"{commit}^{{commit}}") if root and commit.isalnum() else ""
    return datetime.fromtimestamp(int(found), UTC) if found.isdecimal() else None
