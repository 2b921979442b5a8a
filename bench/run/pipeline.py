"""One ``bench run`` from its plan to its reports: measures, tests the claims, compares, and returns the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.run.jobs import run_jobs
from claimbench.bench.run.plan import plan
from claimbench.bench.run.request import Resolved
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.run.runner import OTHER_TIMEOUT_S, execute
from claimbench.bench.store import counted
from claimbench.bench.store.evidence.reading import shown
from claimbench.bench.store.ledger import Ledger

if TYPE_CHECKING:
    from claimbench.bench.core.records import Record
    from claimbench.bench.papers.spec import Paper
    from claimbench.bench.report.report import Report
    from claimbench.bench.run.claims import Claims
    from claimbench.bench.run.dispatch import Dispatch
    from claimbench.bench.store.history import History


Counted = Callable[[tuple["Report", ...]], None]
"""Takes the reports on what needs no clock."""


@dataclass(frozen=True)
class Ended:
    """The end of a run.

    Attributes:
        run: its id.
        reports: one for each paper.
        findings: of the sanity rules on its figures, one sentence each.
        failed: the failures, one sentence each.
        problem: the reason that not all of its records were stored; empty if they were.
        interrupted: whether it was stopped before all was measured and every claim tested.
        left: the number of jobs of the plan that are not done.
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
    return RunFile(
        run=new_run(),
        jobs=tuple(jobs),
        papers=tuple(paper.id for paper, _ in request.papers),
        device=request.settings.device,
        timeout=timeout,
        seed=request.asked.seed,
        claims=claims,
        all=not request.asked.is_brief,
    )


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
    listener: Listener = SILENT,
    resumed: bool = False,
    dispatch: Dispatch | None = None,
    counted: Counted = lambda reports: None,
) -> Ended:
    """Do what is left of a plan, test the papers' claims, and report on all of it.

    Args:
        plan_: the plan.
        results: the folder of records; None to store nothing.
        stop: watched all the time.
        listener: told of every job and claim.
        resumed: whether the plan is on the disk already.
        dispatch: tells a job what only this run can know, just before it is run.
        counted: given the reports on what needs no clock, before anything is timed.

    Raises:
        UserError: the folder cannot be written, or another process is at work on this run; nothing has been measured
            then.
    """
    if results is not None and not resumed:
        RUNS.save(results, plan_)
    with nullcontext() if results is None else RUNS.alone(results, plan_.run):
        return _run(plan_, results, stop, listener, dispatch, counted)


def _run(
    plan_: RunFile,
    results: Path | None,
    stop: Stop,
    listener: Listener,
    dispatch: Dispatch | None,
    counted: Counted,
) -> Ended:
    from claimbench.bench.papers.outside import codes
    from claimbench.bench.run.claims import Claims
    from claimbench.bench.store.store import Store

    ledger = Ledger(plan_.run, None if results is None else Store(results), codes({job.paper for job in plan_.jobs}))
    ledger.locate(plan_.device)
    claims = Claims(ledger, results, stop, bool(plan_.left(ledger.done())), listener)
    interrupted = False

    def early() -> None:
        counted(_reports(plan_, ledger, claims, early=True))

    try:
        execute(plan_, ledger, stop, listener, dispatch, early, _history(plan_, results))
    except Interrupted:
        interrupted = True
    records = ledger.records()
    reports = _reports(plan_, ledger, claims)
    measured = {record.job.key() for record in records}
    return Ended(
        run=plan_.run,
        reports=reports,
        findings=_findings(ledger, records),
        failed=(*_failures(records), *_failed_claims(reports)),
        problem=ledger.problem,
        interrupted=interrupted or claims.interrupted,
        left=len(plan_.left(measured)),
    )


def _history(plan_: RunFile, results: Path | None) -> History:
    """Return the past of the run's device, as far as it was measured with the same effort."""
    from claimbench.bench.machine import environment
    from claimbench.bench.store.history import History
    from claimbench.bench.store.store import Store

    quick = {job.settings.quick for job in plan_.jobs}
    found = [] if results is None else Store(results).query(device=environment.device_name(plan_.device))
    return History(record for record in found if record.job.settings.quick in quick)


def as_json(ended: Ended) -> dict[str, Any]:
    """Return a run's end, JSON-ready: each report as ``bench compare --format json`` writes it."""
    from claimbench.bench.report.render.json import plain_report

    reports = [plain_report(report) for report in ended.reports]
    return {**asdict(replace(ended, reports=())), "reports": reports, "status": ended.status()}


def _papers(plan_: RunFile) -> list[Paper]:
    from claimbench.bench.papers import registry

    return [registry.paper(name) for name in plan_.papers]


def _reports(plan_: RunFile, ledger: Ledger, claims: Claims, early: bool = False) -> tuple[Report, ...]:
    """Return a report for each paper of a run; ``early``: only claims that rest on counts are tested."""
    records = ledger.records()
    return tuple(_report(paper, plan_, ledger, records, claims, early) for paper in _papers(plan_))


def _report(paper: Paper, plan_: RunFile, ledger: Ledger, records: list[Record], claims: Claims, early: bool) -> Report:
    """Compare one paper with the run's records; its claims too, unless the plan or another task leaves them out."""
    from claimbench.bench.report.figures import figures
    from claimbench.bench.report.report import report

    own = list(_records_of(paper, plan_, records))
    subjects = {record.job.subject for record in own}
    elsewhere = bool(subjects) and subjects <= {network.name for network in paper.networks}
    shown = subjects if elsewhere else subjects | {network.name for network in paper.unbuilt}
    outcomes = {} if elsewhere or not plan_.claims else claims.outcomes(paper, figures(own, ledger.samples), early)
    return report(
        paper,
        own,
        samples=ledger.samples,
        environment=ledger.environment,
        claims=outcomes,
        counted=counted.stored(ledger.store.root, paper.id) if ledger.store is not None else None,
        subjects=shown,
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


def _failed_claims(reports: Iterable[Report]) -> Iterable[str]:
    """Say which experiments crashed, a sentence each."""
    for report in reports:
        yield from (f"claim {c.id} of {report.paper}: {c.limits}" for c in report.claims if c.verdict == "failed")


def _failures(records: list[Record]) -> Iterable[str]:
    """Yield a sentence for each failed job: a row that died, or a parity that does not hold."""
    for record in records:
        job, row = record.job, record.measurement
        name = " ".join(part for part in (job.subject, job.form, row.metric) if part)
        if row.status == "failed":
            yield f"{name}: {row.reason}"
        elif row.metric == "parity" and shown(row).passed is False:
            yield f"{name}: it differs from the official implementation by {row.value:.1e}"
