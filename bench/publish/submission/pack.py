"""One run of the store becomes a submission; see :mod:`claimbench.bench.publish.submission` for its content."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, read_job
from claimbench.bench.publish.submission import document, paper_files
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
        elsewhere: papers of the records that are not this suite's own.
        with_papers: whether their files are packed too.
    """

    run: str
    device: str
    data: bytes
    environment: dict[str, object]
    records: int
    samples: int
    left_out: tuple[str, ...]
    shortened: tuple[str, ...]
    elsewhere: tuple[str, ...]
    with_papers: bool


def pack(results: Path, run: str, submitter: str = "", with_papers: bool = False) -> Packed:
    """Return the submission of ``run``, or of the newest run if it is ``latest``.

    Args:
        results: the folder of records.
        run: the run's id.
        submitter: the name of the person who hands it in.
        with_papers: whether to pack the files of papers that are not this suite's own.

    Raises:
        UserError: there is no such run, it is damaged, it has nothing that others could check, or it was measured with
            other files of a paper than are there now.
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
    elsewhere = paper_files.elsewhere(record.job.paper for record in records)
    codes = {name: {r.paper_sha256 for r in records if r.job.paper == name} for name in elsewhere}
    papers = [paper_files.read(name, measured) for name, measured in codes.items()] if with_papers else []
    return Packed(
        run=plan.run,
        device=device,
        data=document.write(
            environment, _scrub_plan(plan), [line for line, _ in encoded], samples, device, submitter, papers
        ),
        environment=environment,
        records=len(records),
        samples=len(samples),
        left_out=tuple(dict.fromkeys(scrub(r.job.subject) for r in found if not _is_shared(r.job))),
        shortened=tuple(dict.fromkeys(p for r in records for p in paths([r.job.to_json(), asdict(r.measurement)]))),
        elsewhere=elsewhere,
        with_papers=with_papers,
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
