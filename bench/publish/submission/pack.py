"""One run of the store becomes a submission; see :mod:`claimbench.bench.publish.submission` for its content."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, read_job
from claimbench.bench.papers import outside, registry
from claimbench.bench.publish.submission.document import seal
from claimbench.bench.publish.submission.lines import CODE, FACTS, PaperFiles
from claimbench.bench.publish.submission.private import paths, scrub
from claimbench.bench.run.run_file import RUNS
from claimbench.bench.store.encoding import StoredRecord, encode
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.store.store import Store, environment_file

LONGEST_NAME = 80


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
        papers_from_elsewhere: papers of the records that are not this suite's own.
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
    papers_from_elsewhere: tuple[str, ...]
    with_papers: bool

    def summary(self, path: Path | None) -> dict[str, Any]:
        """Return the content, JSON-ready; with all of its lines if no file was written."""
        file = {"file": str(path)} if path else {"file": None, "lines": self.data.decode().splitlines()}
        others = {name: value for name, value in vars(self).items() if name != "data"}
        return {**others, **file, "bytes": len(self.data)}


def pack(results: Path, run: str, submitter: str = "", with_papers: bool = False) -> Packed:
    """Return the submission of ``run``, or of the newest run if it is ``latest``.

    Args:
        results: the folder of records.
        run: the run's id.
        submitter: the name of the person who hands it in.
        with_papers: whether to pack the files of papers that are not this suite's own.

    Raises:
        UserError: there is no such run, it is damaged, it has nothing that others could check, or it was measured with
            other files of a paper than are there now; or the submitter's name is too long, or holds characters that
            cannot be printed.
    """
    submitter = submitter.strip()
    if len(submitter) > LONGEST_NAME or not submitter.isprintable():
        raise UserError(f"--name takes up to {LONGEST_NAME} printable characters")
    plan, store = RUNS.load(results, run), Store(results)
    found = store.query(run=plan.run)
    records = [record for record in found if _is_shared(record.job)]
    if not records:
        raise UserError(f"run {plan.run} has no records of a paper's model or of a timm baseline in {results}")
    devices, digests = {r.device for r in records}, {r.environment for r in records}
    if len(devices) > 1 or len(digests) > 1:
        raise UserError(f"run {plan.run} was measured in {len(digests)} environments: measure it again in one")
    environment = scrub(store.environment(records[0].environment))
    digest, _ = environment_file(environment)
    encoded = [encode(_scrub_record(record, store.samples(record), digest), record.rows) for record in records]
    if store.problems:
        place, text = store.problems[0]
        raise UserError(f"run {plan.run} is damaged: {place}: {text}")
    samples = dict.fromkeys(line for _, line in encoded if line is not None)
    shared = replace(plan, jobs=tuple(_scrub_job(job) for job in plan.jobs if _is_shared(job)))
    elsewhere = outside.elsewhere(record.job.paper for record in records)
    papers = [_paper(name, records) for name in elsewhere] if with_papers else []
    head = [{"environment": environment}, {"plan": shared.to_json()}, *({"paper": p.model_dump()} for p in papers)]
    lines = [orjson.dumps(line, option=orjson.OPT_SORT_KEYS, default=str) for line in head]
    lines += [b'{"record":' + line + b"}" for line, _ in encoded]
    lines += [b'{"samples":' + line + b"}" for line in samples]
    device = records[0].device
    return Packed(
        run=plan.run,
        device=device,
        data=seal(lines, plan.run, device, submitter),
        environment=environment,
        records=len(records),
        samples=len(samples),
        left_out=tuple(dict.fromkeys(scrub(r.job.subject) for r in found if not _is_shared(r.job))),
        shortened=tuple(dict.fromkeys(p for r in records for p in paths([r.job.to_json(), asdict(r.measurement)]))),
        papers_from_elsewhere=elsewhere,
        with_papers=with_papers,
    )


def _is_shared(job: Job) -> bool:
    """Whether others have the model: a paper's, or timm's."""
    return bool(job.paper) or job.subject.startswith("timm:")


def _scrub_job(job: Job) -> Job:
    return read_job(scrub(job.to_json()))


def _scrub_record(record: StoredRecord, samples: tuple[float, ...], environment: str) -> StoredRecord:
    """Return a record without its private parts; its key follows when it is encoded."""
    row = Measurement(**{**scrub(asdict(record.measurement)), "samples": samples})
    return replace(record, job=_scrub_job(record.job), measurement=row, environment=environment)


def _paper(paper: str, records: Iterable[StoredRecord]) -> PaperFiles:
    """Return the files of a paper from elsewhere.

    Raises:
        UserError: there is no such paper, the records were measured with other files than these, or one cannot be
            packed.
    """
    folder = registry.entry(paper).folder
    digests = outside.digests(folder)
    if {record.paper_sha256 for record in records if record.job.paper == paper} != {outside.digest_of(digests)}:
        raise UserError(f"the run was measured with other files of {paper} than are in {folder}: measure it again")
    try:
        texts = {name: (folder / name).read_bytes().decode() for name in digests if name.endswith((*CODE, *FACTS))}
        files = {name: {"sha256": sha256, "text": texts.get(name)} for name, sha256 in digests.items()}
        return PaperFiles.model_validate({"id": paper, "files": files})
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the files of {paper} in {folder} cannot be packed ({error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the files of {paper} in {folder} cannot be packed ({place}: {first['msg']})") from error


def write(path: Path, data: bytes) -> None:
    """Write a submission; the same bytes for the same run, compressed or not.

    Raises:
        UserError: the file is there already with another content, or cannot be written.
    """
    body = gzip.compress(data, mtime=0) if path.suffix == ".gz" else data
    if path.is_dir():
        raise UserError(f"{path} is a folder: --out takes a file")
    try:
        if path.exists() and path.read_bytes() != body:
            raise UserError(f"{path} exists and holds something else: choose another name with --out")
    except OSError as error:
        raise UserError(f"{path} exists and cannot be read ({error.strerror})") from error
    write_whole(path, body)
