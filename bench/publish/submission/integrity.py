"""Rules on the file's integrity: digests, one run in one environment, every record once and none missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from claimbench.bench.core.grouping import grouped
from claimbench.bench.measure import METRICS
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.private import paths
from claimbench.bench.publish.submission.rules import Case, Doubt, rule
from claimbench.bench.run.expected_rows import rows
from claimbench.bench.store.encoding import encode_samples
from claimbench.bench.store.evidence.reading import kind_of

_COMMIT = re.compile(r"[0-9a-f]{40}")


@rule("edited", "The file is as `bench submit` wrote it: digests of its lines, environment, jobs and samples fit.")
def _edited(case: Case) -> Iterator[Doubt]:
    submission = case.submission
    if submission.header.sha256 != submission.sha256:
        yield None, "its lines are not those that its header's digest was made of"
    if case.entries and submission.environment_digest not in {entry.record.environment for entry in case.entries}:
        yield None, "the environment's digest is not the one that the records name"
    for entry in case.entries:
        if entry.record.key != entry.job.key():
            yield entry, "the key of its job is not the digest of the job"
    for key, (line, found) in submission.samples.items():
        if encode_samples(found)[0] != key:
            yield line, "the key of these samples is not their digest"


@rule("mixed-runs", "All lines belong to one run in one environment.")
def _mixed(case: Case) -> Iterator[Doubt]:
    run, common = case.submission.header.run, _most(entry.record.environment for entry in case.entries)
    if case.submission.plan.run != run:
        yield None, f"its plan is of run {case.submission.plan.run}, and its header of run {run}"
    if case.submission.environments > 1:
        yield None, f"it holds {case.submission.environments} environments"
    for entry in case.entries:
        if entry.record.run != run:
            yield entry, f"it belongs to run {entry.record.run}, and the header to run {run}"
        if entry.record.environment != common:
            yield entry, "it was measured in another environment than most records"


def _most(names: Iterable[str]) -> str:
    """Return the name that stands most often."""
    return next((name for name, _ in Counter(names).most_common(1)), "")


@rule("unknown-code", "All records were measured with one commit, without changes of its own.")
def _commit(case: Case) -> Iterator[Doubt]:
    common = _most(entry.record.commit for entry in case.entries)
    for entry in case.entries:
        commit = entry.record.commit
        if commit.endswith("+dirty"):
            yield entry, "it was measured with code that was changed and not committed"
        elif not commit:
            yield entry, "it was measured outside a clone of the repository: nobody knows with which code"
        elif not _COMMIT.fullmatch(commit):
            yield entry, f"its commit {commit!r} is not one"
        elif commit != common:
            yield entry, "it was measured with another commit than most records"


@rule(
    "incomplete-run", "Every row of every planned job is there once, with its samples, and nothing else is.", whole=True
)
def _complete(case: Case) -> Iterator[Doubt]:
    if not case.measured:
        yield None, "it holds no figure: every record says why there is none" if case.entries else "it holds no record"
    planned = {job.key(): job for job in case.submission.plan.jobs}
    done = grouped(case.entries, lambda entry: entry.job.key())
    left = [job for key, job in planned.items() if key not in done]
    if left:
        name = " ".join(part for part in (left[0].subject, left[0].form, left[0].metric) if part)
        more = f"the first is {name} in round {left[0].round}"
        yield None, f"{len(left)} of {len(planned)} planned jobs have no record, {more}"
    for key, entries in done.items():
        if key not in planned:
            yield from ((entry, "its job is not in the plan of the run") for entry in entries)
        yield from _rows(entries)
    named, samples = {entry.record.samples_key for entry in case.entries}, case.submission.samples
    for entry in case.entries:
        if entry.record.samples_key and entry.record.samples_key not in samples:
            yield entry, "the samples that it names are not in the file"
    yield from ((line, "no record names these samples") for key, (line, _) in samples.items() if key not in named)


def _rows(entries: list[Entry]) -> Iterator[Doubt]:
    """Hold the records of one job against the rows that it has."""
    found: dict[str, Entry] = {}
    for entry in entries:
        other = found.setdefault(entry.row.metric, entry)
        if other is not entry:
            yield entry, f"line {other.line} holds the same row of the same job"
    first = entries[0]
    missing = [name for name, _ in rows(first.job) if name not in found] if first.job.metric in METRICS else []
    if missing:
        yield first, f"its job has no {' and no '.join(missing)}"
    elif any(entry.record.rows != len(found) for entry in entries):
        yield first, f"it says that its job has {first.record.rows} rows, and has {len(found)}"


@rule("private", "No text holds an absolute path: folders name users.")
def _private(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        if next(paths(entry.content), None):
            yield entry, "it holds an absolute path of the machine; `bench submit` leaves file names only"
    for what, content in (("environment", case.environment), ("header", case.submission.header.submitter)):
        if next(paths(content), None):
            yield None, f"the {what} holds an absolute path of the machine"


@rule("evidence", "A measured figure carries the evidence that this suite writes with it.")
def _evidence(case: Case) -> Iterator[Doubt]:
    for entry, _ in case.measured:
        kind = kind_of(entry.row.metric)
        if not entry.row.method:
            yield entry, "it does not say how it was measured"
        if kind is None or entry.evidence is not None:
            continue
        try:
            kind.model_validate(entry.row.detail)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            place = ".".join(str(part) for part in ("detail", *faults[0]["loc"]))[:120]
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            yield entry, f"its evidence is not as it is written here: {place}: {faults[0]['msg']}{more}"
