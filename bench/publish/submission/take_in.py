"""Puts good submissions into the store of results, as records like all others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson

from claimbench.bench.core.records import Record
from claimbench.bench.publish.submission.check import Verdict
from claimbench.bench.publish.submission.document import Submission
from claimbench.bench.publish.submission.models import subject_of
from claimbench.bench.publish.submission.rules import Reason
from claimbench.bench.store import jsonl
from claimbench.bench.store.encoding import encode
from claimbench.bench.store.store import Store


def take_in(verdict: Verdict, results: Path) -> tuple[Verdict, bool]:
    """Store a submission that was found good, and return the verdict and whether it was new.

    A run that the store holds with other figures is refused after all.

    Raises:
        UserError: the store cannot be written.
    """
    submission = verdict.submission
    if submission is None or not verdict.good:
        return verdict, False
    stored = Store(results).query(run=submission.header.run)
    if not stored:
        _add(submission, results)
        return verdict, True
    if [_figure(record) for record in stored] == [_figure(entry.record) for entry in submission.entries]:
        return verdict, False
    message = f"{results} holds other records under the run id {submission.header.run}"
    return replace(verdict, reasons=(Reason("duplicate-run", message),)), False


def _figure(record: Record) -> tuple[object, ...]:
    """Return the key that two records of the same figure share; paths in options differ from machine to machine."""
    job, row = record.job, record.measurement
    return (*subject_of(job), job.settings, job.round, row.metric, row.value, row.low, row.high, record.time)


def _add(submission: Submission, results: Path) -> None:
    """Store a submission.

    Its plan, the papers that it brought and who handed it in are kept under ``submissions``, apart from the plans of
    runs that can be resumed here. The records go last: a reader never sees a run without its samples or environment.
    """
    header = submission.header
    Store(results).add_environment(submission.environment)
    origin = {"header": header.model_dump(), "plan": submission.plan.to_json()}
    if submission.papers:
        origin["papers"] = {name: paper.model_dump() for name, paper in submission.papers.items()}
    body = orjson.dumps(origin, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    jsonl.write_whole(results / "submissions" / f"{header.run}.json", body)
    encoded = []
    for entry in submission.entries:
        measurement = replace(entry.row, samples=entry.samples)
        encoded.append(encode(replace(entry.record, measurement=measurement), entry.record.rows))
    samples = dict.fromkeys(line + b"\n" for _, line in encoded if line is not None)
    name = f"{header.device}/{header.run}.jsonl"
    if samples:
        jsonl.write_whole(results / "samples" / name, b"".join(samples))
    jsonl.write_whole(results / "records" / name, b"".join(line + b"\n" for line, _ in encoded))
