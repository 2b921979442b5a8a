"""Whether the file is what was written: digests, one run in one environment, every record once and none missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from claimbench.bench.measure import METRICS
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.private import paths
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.run.rows import rows
from claimbench.bench.store.encoding import encode_samples
from claimbench.bench.store.evidence import kind_of

if TYPE_CHECKING:
    from claimbench.bench.publish.submission.case import Case

_COMMIT = re.compile(r"[0-9a-f]{40}")


@rule("edited-file", "The file is as `bench submit` wrote it: its digest is that of the lines behind the header.")
def _file(case: Case) -> Iterator[Doubt]:
    if case.submission.header.sha256 != case.submission.sha256:
        yield None, "its lines are not those that its header's digest was made of"


@rule("edited-job", "A job's key is the digest of the job.")
def _job(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        if entry.record.key != entry.record.job.key():
            yield entry, "the key of its job is not the digest of the job"


@rule("edited-samples", "The key of samples is their digest.")
def _samples(case: Case) -> Iterator[Doubt]:
    for key, (line, found) in case.submission.samples.items():
        if encode_samples(found)[0] != key:
            yield line, "the key of these samples is not their digest"


@rule("mixed-environments", "All records come from one environment, and it is in the file once.")
def _environments(case: Case) -> Iterator[Doubt]:
    counts = Counter(entry.record.environment for entry in case.entries)
    common = counts.most_common(1)[0][0] if counts else ""
    for entry in case.entries:
        if entry.record.environment != common:
            yield entry, "it was measured in another environment than most records"
    if case.submission.environments > 1:
        yield None, f"it holds {case.submission.environments} environments"


@rule("edited-environment", "The environment is the one that its records name by its digest.")
def _environment(case: Case) -> Iterator[Doubt]:
    named = {entry.record.environment for entry in case.entries}
    if named and case.submission.environment_digest not in named:
        yield None, "the environment's digest is not the one that the records name"


@rule("mixed-runs", "All lines belong to one run.")
def _runs(case: Case) -> Iterator[Doubt]:
    run = case.submission.header.run
    if case.submission.plan.run != run:
        yield None, f"its plan is of run {case.submission.plan.run}, and its header of run {run}"
    for entry in case.entries:
        if entry.record.run != run:
            yield entry, f"it belongs to run {entry.record.run}, and the header to run {run}"


@rule("unknown-code", "All records were measured with one commit, without changes of its own.")
def _commit(case: Case) -> Iterator[Doubt]:
    counts = Counter(entry.record.commit for entry in case.entries)
    common = counts.most_common(1)[0][0] if counts else ""
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


@rule("duplicate-record", "Every row of every job stands once.")
def _duplicates(case: Case) -> Iterator[Doubt]:
    first: dict[tuple[str, str], Entry] = {}
    for entry in case.entries:
        row = (entry.record.job.key(), entry.record.measurement.metric)
        other = first.setdefault(row, entry)
        if other is not entry:
            yield entry, f"line {other.line} holds the same row of the same job"


@rule("nothing-measured", "At least one figure was measured.", whole=True)
def _nothing(case: Case) -> Iterator[Doubt]:
    if not case.measured:
        yield None, "it holds no figure: every record says why there is none" if case.entries else "it holds no record"


@rule("missing-rows", "A job has all of its rows.", whole=True)
def _rows(case: Case) -> Iterator[Doubt]:
    found: dict[str, list[Entry]] = {}
    for entry in case.entries:
        found.setdefault(entry.record.job.key(), []).append(entry)
    for entries in found.values():
        job = entries[0].record.job
        if job.metric not in METRICS:
            continue
        names = {entry.record.measurement.metric for entry in entries}
        missing = [name for name, _ in rows(job) if name not in names]
        if missing:
            yield entries[0], f"its job has no {' and no '.join(missing)}"
        elif any(entry.record.rows != len(names) for entry in entries):
            yield entries[0], f"it says that its job has {entries[0].record.rows} rows, and has {len(names)}"


@rule("incomplete-run", "Everything that the run set out to measure is there, and nothing else.", whole=True)
def _plan(case: Case) -> Iterator[Doubt]:
    planned = {job.key(): job for job in case.submission.plan.jobs}
    done = {entry.record.job.key() for entry in case.entries}
    missing = [job for key, job in planned.items() if key not in done]
    if missing:
        first = missing[0]
        name = " ".join(part for part in (first.subject, first.form, first.metric) if part)
        yield (
            None,
            f"{len(missing)} of {len(planned)} planned jobs have no record, the first is {name} in round {first.round}",
        )
    for entry in case.entries:
        if entry.record.job.key() not in planned:
            yield entry, "its job is not in the plan of the run"


@rule("missing-samples", "Samples that a record names are there, and there are no others.", whole=True)
def _samples_there(case: Case) -> Iterator[Doubt]:
    named = {entry.record.samples_key for entry in case.entries if entry.record.samples_key}
    for entry in case.entries:
        if entry.record.samples_key and entry.record.samples_key not in case.submission.samples:
            yield entry, "the samples that it names are not in the file"
    for key, (line, _) in case.submission.samples.items():
        if key not in named:
            yield line, "no record names these samples"


@rule("private", "No text holds an absolute path: folders name users.")
def _private(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        if next(paths(entry.content), None):
            yield entry, "it holds an absolute path of the machine; `bench submit` leaves file names only"
    for what, content in (("environment", case.submission.environment), ("header", case.submission.header.submitter)):
        if next(paths(content), None):
            yield None, f"the {what} holds an absolute path of the machine"


@rule("evidence", "A measured figure carries the evidence that this suite writes with it.")
def _evidence(case: Case) -> Iterator[Doubt]:
    for entry in case.measured:
        row = entry.record.measurement
        model = kind_of(row.metric)
        if not row.method:
            yield entry, "it does not say how it was measured"
        if model is None:
            continue
        try:
            model.model_validate(row.detail)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            first = faults[0]
            place = ".".join(str(part) for part in ("detail", *first["loc"]))[:120]
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            yield entry, f"its evidence is not as it is written here: {place}: {first['msg']}{more}"
