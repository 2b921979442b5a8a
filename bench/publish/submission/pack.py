"""One run of the store becomes a submission; see :mod:`claimbench.bench.publish.submission` for its content."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, read_job
from claimbench.bench.publish.submission import document
from claimbench.bench.publish.submission.private import paths, scrub
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.store.encoding import StoredRecord, encode
from claimbench.bench.store.store import Store, environment_file


@dataclass(frozen=True)
class Packed:
    """A submission that is ready to be written.

    Attributes:
        run, device: of the records.
        data: the bytes.
        environment: of the machine, as they state it.
        records: the number of them.
        samples: the number of lines of samples.
        left_out: subjects that nobody else has: a user's own models. Their records stay here.
        shortened: paths of this machine of which only the file's name is left.
    """

    run: str
    device: str
    data: bytes
    environment: dict[str, object]
    records: int
    samples: int
    left_out: tuple[str, ...]
    shortened: tuple[str, ...]


def pack(results: Path, run: str, submitter: str = "") -> Packed:
    """Return the submission of ``run``, or of the newest run if it is ``latest``.

    Raises:
        UserError: there is no such run, it is damaged, or it has nothing that others could check.
    """
    plan = RUNS.load(results, run)
    store = Store(results)
    found = store.query(run=plan.run)
    records = [record for record in found if _is_shared(record.job)]
    if not records:
        raise UserError(f"run {plan.run} has no records of a paper's model or of a timm baseline in {results}")
    devices, digests = {r.device for r in records}, {r.environment for r in records}
    if len(devices) > 1 or len(digests) > 1:
        raise UserError(f"run {plan.run} was measured in {len(digests)} environments: measure it again in one")
    plain = [_scrub_record(replace(r, measurement=replace(r.measurement, samples=store.samples(r)))) for r in records]
    environment = scrub(store.environment(records[0].environment))
    if store.problems:
        place, text = store.problems[0]
        raise UserError(f"run {plan.run} is damaged: {place}: {text}")
    digest, _ = environment_file(environment)
    encoded = [encode(replace(record, environment=digest), record.rows) for record in plain]
    samples = dict.fromkeys(line for _, line in encoded if line is not None)
    device = records[0].device
    return Packed(
        run=plan.run,
        device=device,
        data=document.write(environment, _scrub_plan(plan), [line for line, _ in encoded], samples, device, submitter),
        environment=environment,
        records=len(records),
        samples=len(samples),
        left_out=tuple(dict.fromkeys(scrub(r.job.subject) for r in found if not _is_shared(r.job))),
        shortened=tuple(dict.fromkeys(p for r in records for p in paths([r.job.to_json(), asdict(r.measurement)]))),
    )


def _is_shared(job: Job) -> bool:
    """Whether others have the model: a paper's, or timm's."""
    return bool(job.paper) or job.subject.startswith("timm:")


def _scrub_job(job: Job) -> Job:
    return read_job(scrub(job.to_json()))


def _scrub_record(record: StoredRecord) -> StoredRecord:
    """Return a record without its private parts; its key follows when it is encoded."""
    samples = record.measurement.samples
    measurement = Measurement(**{**scrub(asdict(replace(record.measurement, samples=()))), "samples": samples})
    return replace(record, job=_scrub_job(record.job), measurement=measurement)


def _scrub_plan(plan: RunFile) -> RunFile:
    return replace(plan, jobs=tuple(_scrub_job(job) for job in plan.jobs if _is_shared(job)))
