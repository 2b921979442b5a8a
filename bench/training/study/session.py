"""One ``bench study`` from its plan to its summaries: trains what is left, stores each training as it ends."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from claimbench.bench.core.records import Measurement, Record
from claimbench.bench.machine import environment
from claimbench.bench.machine.locks import alone
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.store.store import Store
from claimbench.bench.training.study import plan as plans
from claimbench.bench.training.study import pool
from claimbench.bench.training.study.plan import Plan
from claimbench.bench.training.study.pool import Listener
from claimbench.bench.training.study.summary import Summary, summaries
from claimbench.bench.training.study.task import ROWS, Task, failed_rows, label


@dataclass(frozen=True)
class Ended:
    """How a study ended.

    Attributes:
        run: its id.
        summaries: of every subject with a training that is done.
        failed: trainings that failed and studies that do not work, a sentence each.
        without: papers that name no study, a sentence each.
        interrupted: whether it was stopped before its plan was done.
        left: how many trainings are not done.
        of: how many there are.
    """

    run: str
    summaries: tuple[Summary, ...]
    failed: tuple[str, ...]
    without: tuple[str, ...]
    interrupted: bool
    left: int
    of: int

    def status(self) -> int:
        """Return the exit status: 0, 1 where a training failed, 130 where the study was interrupted."""
        return 130 if self.interrupted else int(bool(self.failed))


def store(results: Path) -> Store:
    """Return the store of the studies in a results folder."""
    return Store(results / plans.FOLDER)


def run(plan: Plan, results: Path, stop: Stop, listener: Listener, *, resumed: bool = False) -> Ended:
    """Train what is left of a plan.

    Args:
        plan: the plan.
        results: the results folder.
        stop: watched all the time.
        listener: told of every event, see :data:`claimbench.bench.training.study.pool.Listener`.
        resumed: whether the plan is on the disk already.

    Raises:
        UserError: the folder cannot be written, or another process is at work on this study; what was stored before
            stays, and the study can be resumed.
    """
    if not resumed:
        plans.save(results, plan)
    folder = plans.unfinished(results, plan.run)
    with alone(folder, f"another process is at work on study {plan.run}: wait for it, or end it"):
        return _run(plan, results, stop, listener)


def _run(plan: Plan, results: Path, stop: Stop, listener: Listener) -> Ended:
    ledger = _Ledger(plan, results)
    done = ledger.done()
    failed: list[str] = []

    def tell(task: Task, event: dict[str, Any]) -> None:
        if "rows" in event:
            ledger.add(task, [Measurement(**{**row, "samples": tuple(row["samples"])}) for row in event["rows"]])
            Path(task.checkpoint).unlink(missing_ok=True)
        elif "failed" in event:
            ledger.add(task, failed_rows(event["failed"]), trained=False)
            failed.append(f"{label(task.job)}: {event['failed']}")
        listener(task, event)

    interrupted = False
    try:
        pool.train([t for t in plan.tasks(results) if t.job.key() not in done], plan.slots, stop, tell)
    except Interrupted:
        interrupted = True
    still = left(plan, results)
    if not still:
        shutil.rmtree(plans.unfinished(results, plan.run), ignore_errors=True)
    found = summaries(store(results), run=plan.run)
    return Ended(plan.run, tuple(found), (*plan.broken, *failed), plan.without, interrupted, still, len(plan.jobs))


def left(plan: Plan, results: Path) -> int:
    """Return how many trainings of a plan are not done."""
    return len({job.key() for job in plan.jobs} - _Ledger(plan, results).done())


class _Ledger:
    """Stores the rows of trainings under their run."""

    def __init__(self, plan: Plan, results: Path) -> None:
        self._plan = plan
        self._store = store(results)
        self._environments: dict[str, str] = {}

    def done(self) -> set[str]:
        """Return the keys of the trainings that are stored and did not fail."""
        records = self._store.query(run=self._plan.run)
        return {
            record.key
            for record in records
            if record.measurement.metric == "study_accuracy" and record.measurement.status == "measured"
        }

    def add(self, task: Task, rows: list[Measurement], *, trained: bool = True) -> None:
        """Store the rows of a training, and what is known of its network.

        Raises:
            UserError: they cannot be written.
        """
        device = task.device
        if device not in self._environments:
            self._environments[device] = self._store.add_environment(environment.capture(device))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if trained:
            rows = [*rows, *_cost_rows(self._plan.cost(task.job))]
        records = [
            Record(self._plan.run, task.job, row, self._environments[device], environment.commit(), now) for row in rows
        ]
        self._store.append(*records, device=environment.device_name(device))


def _cost_rows(cost: dict[str, Any]) -> list[Measurement]:
    parameters = Measurement("study_parameters", cost["parameters"], ROWS["study_parameters"], "exact")
    unit = ROWS["study_flops"]
    if cost["flops"] is None:
        return [parameters, Measurement.missing("study_flops", unit, cost["flops_reason"], failed=True)]
    method = "FlopCounterMode on the meta device, one picture forward, 2 FLOPs a multiply-add"
    return [parameters, Measurement("study_flops", cost["flops"], unit, method)]
