"""Rules on the time of measurement: in the past, in order, one thing at a time, after the code was written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

from claimbench.bench.core.files import checkout
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule

BEGINNING = datetime(2026, 11, 21, tzinfo=UTC)
"""The day of this suite's first commit."""

CLOCKS_DIFFER = timedelta(minutes=10)
"""Another machine's clock may be ahead of ours by this time."""

SLACK = timedelta(seconds=1.5)
"""Times are noted in whole seconds, and shortly after the measurement."""


def when(text: str) -> datetime | None:
    """Return a record's time; None if it is not one, or not in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.utcoffset() == timedelta(0) and _near(time) else None


def _near(time: datetime) -> bool:
    """Whether a time is one that can be calculated with."""
    return 1000 < time.year < 9000


def spans(case: Case) -> list[tuple[datetime, datetime, Entry]]:
    """Return the least span of each timed measurement, from and until, by its end; the shortest are left out."""
    lasted = {id(entry): timing.machine.seconds for entry, timing in case.timings}
    lasted |= {id(entry): energy.machine.seconds for entry, energy in case.energies}
    found = []
    for entry in case.entries:
        end, seconds = when(entry.record.time), lasted.get(id(entry))
        if end is not None and seconds is not None and SLACK.total_seconds() < seconds < 1e6:
            found.append((end + SLACK - timedelta(seconds=seconds), end, entry))
    return sorted(found, key=lambda span: span[1])


@rule(
    "impossible-time",
    "Times are in UTC, in the order of the records, not in the future, and not before the suite, the run or its code.",
)
def _times(case: Case) -> Iterator[Doubt]:
    started = _start_of(case.submission.header.run)
    if started is None:
        yield None, "the run's id does not begin with a time"
    before: datetime | None = None
    for entry in case.entries:
        time = when(entry.record.time)
        if time is None:
            yield entry, f"its time {entry.record.time!r} is not one in UTC"
            continue
        yield from ((entry, problem) for problem in _time_problems(case, entry, time, started))
        if before is not None and time < before:
            yield entry, "it was measured before the record above it"
        before = time


def _time_problems(case: Case, entry: Entry, time: datetime, started: datetime | None) -> Iterator[str]:
    written = commit_time(entry.record.commit)
    if time > case.now + CLOCKS_DIFFER:
        yield f"it was measured at {time:%Y-%m-%d %H:%M} UTC, and now it is {case.now:%Y-%m-%d %H:%M}"
    if time < BEGINNING:
        yield f"it was measured at {time:%Y-%m-%d}, and this suite began on {BEGINNING:%Y-%m-%d}"
    elif started is not None and time < started - timedelta(seconds=1):
        yield "it was measured before its run began, by the run's id"
    elif written is not None and time < written - CLOCKS_DIFFER:
        yield f"it was measured before its commit was written ({written:%Y-%m-%d %H:%M} UTC)"
    elif written is None and case.submission.whole:
        case.note("a commit that it was measured with is not in this repository: what that code does is not known")


@rule("overlap", "A device does one timed measurement at a time.")
def _overlap(case: Case) -> Iterator[Doubt]:
    found = spans(case)
    for (_, end, earlier), (start, _, later) in pairwise(found):
        if start < end:
            yield (
                later,
                f"it overlaps with line {earlier.line} ({earlier.name}) by {(end - start).total_seconds():.1f} s",
            )


def _start_of(run: str) -> datetime | None:
    try:
        time = datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if _near(time) else None


@cache
def commit_time(commit: str) -> datetime | None:
    """Return the time of a commit of this repository; None if it, or the repository, is not here."""
    root = checkout()
    if root is None or not commit.isalnum():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "show", "-s", "--format=%ct", f"{commit}^{{commit}}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return datetime.fromtimestamp(int(done.stdout.strip()), UTC)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
