"""One ``bench run`` from its plan to its reports: measures, tests the claims, compares, and says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.run import run_file
from claimbench.bench.run.jobs import run_jobs
from claimbench.bench.run.plan import plan
from claimbench.bench.run.request import Resolved
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.run.runner import OTHER_TIMEOUT_S, Ledger, Progress, as_it_is, done, execute

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job, Record
    from claimbench.bench.papers.spec import Paper
    from claimbench.bench.report.report import Report
    from claimbench.bench.run.claims import Claims
    from claimbench.bench.store.store import Store


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        run: its id.
        reports: one for each paper.
        findings: what the sanity rules say of its figures, one sentence each.
        failed: what failed, one sentence each.
        problem: why its records could not all be stored; empty if they were.
        interrupted: whether it was stopped before all was measured and every claim tested.
        left: how many jobs of the plan are not done.
    """

    run: str
    reports: tuple[Report, ...]
    findings: tuple[str, ...]
    failed: tuple[str, ...]
    problem: str
    interrupted: bool
    left: int

    def status(self) -> int:
        """Return the exit status: 0, 1 where something failed, 130 where it was interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.failed or self.problem else 0


def new_plan(request: Resolved, timeout: float | None, claims: bool = True) -> RunFile:
    """Return the plan of a run that starts now.

    Raises:
        UserError: the weights file that was given does not fit.
    """
    from claimbench.bench.store.store import new_run

    jobs = plan(request)
    if request.settings.weights not in ("random", "official"):
        _check_weights(request)
    papers = tuple(paper.id for paper, _ in request.papers)
    return RunFile(new_run(), papers, request.settings.device, tuple(jobs), timeout, request.asked.seed, claims)


def _check_weights(request: Resolved) -> None:
    """Load the weights once, in a process of its own, before anything else is done with them."""
    job = next(iter(plan(replace(request, metrics=("params",)))))
    for _, rows in run_jobs([job], OTHER_TIMEOUT_S):
        if rows[0].status == "failed":
            raise UserError(rows[0].reason)


def run(
    plan_: RunFile,
    results: Path | None,
    stop: Stop,
    progress: Progress | None = None,
    resumed: bool = False,
    prepare: Callable[[Job], Job] = as_it_is,
    testing: Callable[[str], None] | None = None,
) -> Ended:
    """Do what is left of a plan, test the papers' claims, and report on all of it.

    Args:
        plan_: the plan.
        results: the folder of records; None to store nothing.
        stop: watched all the time.
        progress: told of every job.
        resumed: whether the plan is on the disk already.
        prepare: tells a job what only this run can know, just before it is run.
        testing: told in words which claim is tested next.

    Raises:
        UserError: the folder cannot be written, or another process is at work on this run; nothing has been measured
            then.
    """
    store = _open(results)
    if results is not None and not resumed:
        run_file.save(results, plan_)
    with nullcontext() if results is None else run_file.alone(results, plan_.run):
        return _run(plan_, results, store, stop, progress, prepare, testing)


def _run(
    plan_: RunFile,
    results: Path | None,
    store: Store | None,
    stop: Stop,
    progress: Progress | None,
    prepare: Callable[[Job], Job],
    testing: Callable[[str], None] | None,
) -> Ended:
    from claimbench.bench.run.claims import Claims

    ledger = Ledger(plan_.run, plan_.device, store)
    before = done(store, plan_.run)
    claims = Claims(ledger, results, stop, any(job.key() not in before for job in plan_.jobs), testing)
    interrupted = False
    try:
        execute(plan_, ledger, stop, before, progress, prepare)
    except Interrupted:
        interrupted = True
    records = ledger.records()
    reports = tuple(_report(paper, plan_, ledger, records, claims) for paper in _papers(plan_))
    measured = {record.job.key() for record in records}
    return Ended(
        run=plan_.run,
        reports=reports,
        findings=_findings(ledger, records),
        failed=tuple(_failures(records)),
        problem=ledger.problem,
        interrupted=interrupted or claims.interrupted,
        left=sum(job.key() not in measured for job in plan_.jobs),
    )


def as_json(ended: Ended) -> dict[str, Any]:
    """Return a run's end, JSON-ready: each report as ``bench compare --format json`` writes it."""
    import json

    from claimbench.bench.report.render import render

    reports = [json.loads(render(report, "json")) for report in ended.reports]
    return {**asdict(replace(ended, reports=())), "reports": reports, "status": ended.status()}


def _open(results: Path | None) -> Store | None:
    from claimbench.bench.store.store import Store

    return None if results is None else Store(results)


def _papers(plan_: RunFile) -> list[Paper]:
    from claimbench.bench.papers import registry

    return [registry.paper(name) for name in plan_.papers]


def _report(paper: Paper, plan_: RunFile, ledger: Ledger, records: list[Record], claims: Claims) -> Report:
    """Compare one paper with the run's records; its claims too, unless the plan or another task leaves them out."""
    from claimbench.bench.report.figures import figures
    from claimbench.bench.report.report import report

    own = list(_records_of(paper, plan_, records))
    subjects = {record.job.subject for record in own}
    elsewhere = bool(subjects) and subjects <= {network.name for network in paper.networks}
    outcomes = {} if elsewhere or not plan_.claims else claims.outcomes(paper, figures(own, ledger.samples))
    return report(
        paper, own, samples=ledger.samples, environment=ledger.environment, claims=outcomes, subjects=subjects
    )


def _records_of(paper: Paper, plan_: RunFile, records: Iterable[Record]) -> Iterable[Record]:
    """Yield the records of a paper, of its baselines, and of what belongs to no paper at all."""
    others = {f"timm:{b.timm}" for other in _papers(plan_) if other.id != paper.id for b in other.baselines}
    others -= {f"timm:{b.timm}" for b in paper.baselines}
    for record in records:
        if record.job.paper == paper.id or (not record.job.paper and record.job.subject not in others):
            yield record


def _findings(ledger: Ledger, records: list[Record]) -> tuple[str, ...]:
    from claimbench.bench.report import sanity

    environments = {record.environment: ledger.environment(record.environment) for record in records}
    return tuple(dict.fromkeys(finding.message for finding in sanity.check(records, environments)))


def _failures(records: list[Record]) -> Iterable[str]:
    """Say what failed, a sentence for each job: a row that died, or a parity that does not hold."""
    for record in records:
        job, row = record.job, record.measurement
        name = " ".join(part for part in (job.subject, job.form, row.metric) if part)
        if row.status == "failed":
            yield f"{name}: {row.reason}"
        elif row.metric == "parity" and row.detail.get("passed") is False:
            yield f"{name}: it differs from the official implementation by {row.value:.1e}"
