"""Reads a store once and sorts its content by paper, by machine and by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.records import Record
from claimbench.bench.measure.operators import kernel_log
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.sanitising import words
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.report import Report, measured_beside, report
from claimbench.bench.store import counted, night_files, outcomes
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.night_files import Night
from claimbench.bench.store.store import SkippedLine, Store
from claimbench.bench.training.study.study_run import store as study_store
from claimbench.bench.training.study.summary import Summary, summaries

MOST_SIDE_BY_SIDE = 20
"""Models that one run timed together, beyond which their speeds are not set against one another in pairs."""

_BROKEN = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, IndexError)
"""The errors that reading a record with wrong fields raises."""


@dataclass(frozen=True)
class PaperResults:
    """A paper with all that is stored of it.

    Attributes:
        paper: the paper; as far as its records tell if its file is not at hand.
        known: whether its file is at hand.
        report: measured against reported, from the newest run of each configuration.
        records: all records behind it and before, the oldest run first.
    """

    paper: Paper
    known: bool
    report: Report
    records: Sequence[StoredRecord]

    @cached_property
    def figures(self) -> list[Figure]:
        """Every measured configuration of the report, once."""
        found = {id(row.figure): row.figure for row in self.report.rows if row.figure is not None}
        return list(found.values())

    @property
    def devices(self) -> list[str]:
        """The short names of the devices it was measured on."""
        return sorted({record.device for record in self.records})


@dataclass(frozen=True)
class Material:
    """All that the pages are made of.

    Attributes:
        papers: the papers, known ones first, each sorted by id.
        broken: papers whose file is broken, and the reasons.
        kernels: the newest rows of operators, by device.
        environments: the environments that figures were measured in, by digest.
        problems: parts of the store that could not be read, one sentence each.
        records: the number of records; ``newest`` is the time of the last.
        runs: the records of each run.
        studies: the small-scale studies.
        nights: the nights of every device.
    """

    papers: list[PaperResults]
    broken: Mapping[str, str]
    kernels: Mapping[str, list[dict[str, Any]]]
    environments: Mapping[str, Mapping[str, Any]]
    problems: list[SkippedLine]
    records: int
    newest: str = ""
    runs: Mapping[str, Sequence[StoredRecord]] = field(default_factory=dict)
    studies: Sequence[Summary] = ()
    nights: Sequence[Night] = ()


def gather(store: Store, papers: Iterable[Paper], broken: Mapping[str, str] | None = None) -> Material:
    """Read everything in a store.

    Args:
        store: the records.
        papers: the papers to show whether they were measured or not.
        broken: papers that cannot be shown, by id, and why.
    """
    records = store.query()
    problems: list[SkippedLine] = []
    by_paper, by_run = grouped(records, lambda r: r.job.paper), grouped(records, lambda r: r.run)
    papers_of_run = {run: {record.job.paper for record in mine} for run, mine in by_run.items()}
    beside = by_paper.pop("", [])
    known = {paper.id: paper for paper in sorted(papers, key=lambda paper: paper.id)}
    strangers = [_stranger(name) for name in sorted(by_paper) if name not in known]
    found = []
    for paper in (*known.values(), *strangers):
        mine = by_paper.get(paper.id, [])
        mine = [*mine, *measured_beside(paper, mine, beside, lambda run: papers_of_run[run])]
        result, refused = _paper_results(store, paper, paper.id in known, mine)
        found.append(result)
        problems += refused
    kernels = {device: kernel_log.newest(store.root, device) for device in kernel_log.devices(store.root)}
    digests = {figure.environment for result in found for figure in result.figures}
    digests |= {str(row.get("environment", "")) for rows in kernels.values() for row in rows}
    studies, unread = _studies(store.root)
    nights, damaged = _nights(store.root)
    return Material(
        papers=found,
        broken=broken or {},
        kernels=kernels,
        environments={digest: store.environment(digest) for digest in sorted(digests)},
        problems=[_inside(store, problem) for problem in (*store.problems, *problems, *unread, *damaged)],
        records=len(records),
        newest=max((record.time for record in records), default=""),
        runs=by_run,
        studies=studies,
        nights=nights,
    )


def _studies(root: Path) -> tuple[list[Summary], list[SkippedLine]]:
    """Return the summaries of the studies; none if a record of them makes no sense."""
    store = study_store(root)
    try:
        return summaries(store), store.problems
    except _BROKEN as error:
        return [], [SkippedLine("studies", f"a record makes no sense ({type(error).__name__}: {error})")]


def _nights(root: Path) -> tuple[list[Night], list[SkippedLine]]:
    found, problems = [], []
    for path in sorted((root / night_files.FOLDER).glob("*/*.json")):
        try:
            found.append(night_files.load(path))
        except UserError:
            problems.append(SkippedLine(str(path), "the night is damaged"))
    return found, problems


def _place(record: StoredRecord) -> str:
    return f"records/{record.device}/{record.run}.jsonl"


def _inside(store: Store, problem: SkippedLine) -> SkippedLine:
    """Return a problem with its path relative to the store, so that no path of the machine is published."""
    return SkippedLine(problem.place.removeprefix(f"{store.root}/"), problem.text)


def _stranger(name: str) -> Paper:
    """Return a paper of which only records are at hand; nothing of it is validated, all of it is escaped."""
    return Paper.model_construct(
        id=name, title=words(name), task="paper file not at hand", variants=(), forms=(), baselines=(), claims=()
    )


def _paper_results(
    store: Store, paper: Paper, known: bool, records: list[StoredRecord]
) -> tuple[PaperResults, list[SkippedLine]]:
    """Compare a paper with its records; records whose fields make no sense are left out, each a problem."""
    problems: list[SkippedLine] = []
    try:
        made = _report(store, paper, records)
    except _BROKEN:
        sound = []
        for record in records:
            try:
                _report(store, paper, [record])
            except _BROKEN as error:
                problems.append(
                    SkippedLine(_place(record), f"a record makes no sense ({type(error).__name__}: {error})")
                )
            else:
                sound.append(record)
        records = sound
        made = _report(store, paper, records)
    return PaperResults(paper, known, made, records), problems


def _report(store: Store, paper: Paper, records: Sequence[Record]) -> Report:
    timed = Counter(
        (record.run, record.job.metric) for record in records if record.job.metric in ("throughput", "latency")
    )
    return report(
        paper,
        records,
        samples=store.samples,
        environment=store.environment,
        claims=outcomes.stored(store.root, paper.id) if _is_file_name(paper.id) else {},
        counted=counted.stored(store.root, paper.id) if _is_file_name(paper.id) else {},
        side_by_side=max(timed.values(), default=0) <= MOST_SIDE_BY_SIDE * 3,
    )


def _is_file_name(name: str) -> bool:
    return "/" not in name and "\0" not in name and name not in ("", ".", "..")
