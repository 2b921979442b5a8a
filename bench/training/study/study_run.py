"""One ``bench study`` from its plan to its summaries: trains the rest, stores each training as it ends."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Measurement
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.papers.outside import codes
from claimbench.bench.store.ledger import Ledger
from claimbench.bench.store.store import Store
from claimbench.bench.training.study import pool
from claimbench.bench.training.study.plan import FOLDER, STUDIES, StudyPlan, unfinished
from claimbench.bench.training.study.study_task import ROWS, StudyTask, failed_rows, label
from claimbench.bench.training.study.summary import Summary, summaries

DONE = "study_accuracy"
"""The row of a training that is done; one that failed is tried again when its study is resumed."""


@dataclass(frozen=True)
class StudyEnded:
    """The end of a study.

    Attributes:
        run: its id.
        summaries: of every subject with a training that is done.
        failed: trainings that failed and studies that do not work, a sentence each.
        without: papers that name no study, a sentence each.
        interrupted: whether it was stopped before its plan was done.
        left: the number of trainings that are not done.
        of: the number of all trainings.
    """

    run: str
    summaries: tuple[Summary, ...]
    failed: tuple[str, ...]
    without: tuple[str, ...]
    interrupted: bool
    left: int
    of: int

    def status(self) -> int:
        """Return the exit status: 0, 1 if a training failed, 130 if the study was interrupted."""
        return 130 if self.interrupted else int(bool(self.failed))


def store(results: Path) -> Store:
    """Return the store of the studies in a results folder."""
    return Store(results / FOLDER)


def ledger(plan: StudyPlan, results: Path) -> Ledger:
    """Return the ledger of a study."""
    return Ledger(plan.run, store(results), codes({job.paper for job in plan.jobs}))


def run(plan: StudyPlan, results: Path, stop: Stop, listener: Listener, *, resumed: bool = False) -> StudyEnded:
    """Train the rest of a plan.

    Args:
        plan: the plan.
        results: the results folder.
        stop: watched all the time.
        listener: told of every training.
        resumed: whether the plan is on the disk already.

    Raises:
        UserError: the folder cannot be written, or another process is at work on this study; results stored
            before stay, and the study can be resumed.
    """
    if not resumed:
        STUDIES.save(results, plan)
    with STUDIES.alone(results, plan.run):
        return _run(plan, results, stop, listener)


def _run(plan: StudyPlan, results: Path, stop: Stop, listener: Listener) -> StudyEnded:
    kept = ledger(plan, results)
    tasks = [plan.training(job, results) for job in plan.left(kept.done(DONE))]
    told = _Trainings(listener, len(plan.jobs), len(plan.jobs) - len(tasks))
    failed: list[str] = []
    interrupted = False
    try:
        with closing(pool.train(tasks, plan.slots, stop)) as events:
            for task, event in events:
                if "rows" in event:
                    kept.write(task.job, [*event["rows"], *_cost_rows(plan.cost(task.job))], task.device)
                    Path(task.checkpoint).unlink(missing_ok=True)
                elif "failed" in event:
                    kept.write(task.job, failed_rows(event["failed"]), task.device)
                    failed.append(f"{label(task.job)}: {event['failed']}")
                told.tell(task, event)
    except Interrupted:
        interrupted = True
    left = len(plan.left(kept.done(DONE)))
    if not left:
        shutil.rmtree(unfinished(results, plan.run), ignore_errors=True)
    found = summaries(store(results), run=plan.run)
    return StudyEnded(plan.run, tuple(found), (*plan.broken, *failed), plan.without, interrupted, left, len(plan.jobs))


class _Trainings:
    """Tells a listener of all trainings and of each that is running."""

    def __init__(self, listener: Listener, total: int, done: int) -> None:
        self._listener, self._total, self._done = listener, total, done
        self._whole = listener.begin("all trainings", total, done=done)
        self._running: dict[str, Listener] = {}
        self._shares: dict[str, float] = {}

    def tell(self, task: StudyTask, event: dict[str, Any]) -> None:
        """Pass on an event of a training."""
        key, epochs = task.job.key(), task.setting.epochs
        if not event:
            self._running[key] = self._whole.begin(label(task.job), epochs)
        elif "epoch" in event:
            says = f"{label(task.job)}, validation {event['validation']:.1f} %"
            self._running[key].at(event["epoch"], what=says)
            self._shares[key] = event["epoch"] / epochs
        else:
            self._done += 1
            self._running.pop(key).end()
            self._shares.pop(key, None)
            self._listener.say(f"[{self._done} of {self._total}] {_sentence(task, event)}")
        self._whole.at(self._done + sum(self._shares.values()))


def _sentence(task: StudyTask, event: dict[str, Any]) -> str:
    """Return the end of a training."""
    if "failed" in event:
        return f"{label(task.job)} failed: {event['failed']}"
    accuracy = next(row.value for row in event["rows"] if row.metric == DONE)
    return f"{label(task.job)}: {accuracy:.2f} %"


def _cost_rows(cost: dict[str, Any]) -> list[Measurement]:
    parameters = Measurement("study_parameters", cost["parameters"], ROWS["study_parameters"], "exact")
    unit = ROWS["study_flops"]
    if cost["flops"] is None:
        return [parameters, Measurement.missing("study_flops", unit, cost["flops_reason"], failed=True)]
    method = "FlopCounterMode on the meta device, one picture forward, 2 FLOPs a multiply-add"
    return [parameters, Measurement("study_flops", cost["flops"], unit, method)]
