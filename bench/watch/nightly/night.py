"""One night from its plan to its summary. Killed at any moment, it goes on where it was when it is started again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.machine import environment
from claimbench.bench.machine.process import Stop
from claimbench.bench.run import pipeline
from claimbench.bench.run.request import RunRequest, resolve
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.store import night_files
from claimbench.bench.store.history import History, unit_of
from claimbench.bench.store.night_files import Night
from claimbench.bench.store.store import Store
from claimbench.bench.watch.nightly import budget
from claimbench.bench.watch.regress.comparison import compare
from claimbench.bench.watch.regress.findings import RegressionReport
from claimbench.bench.watch.regress.sides import RecordSet, find
from claimbench.bench.watch.regress.wording import cells

LONGEST_PAUSE_S = 24 * 3600.0
"""A night that was cut off longer ago than this is not gone on with: it would be two nights under one name."""

ACROSS = ("versions",)
"""A slowdown that came with a driver or a library is one as well; its cause says so."""


@dataclass(frozen=True)
class Asked:
    """A request for a night.

    Attributes:
        request: as of ``bench run``.
        budget: its time, as text; empty for no limit.
    """

    request: RunRequest
    budget: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it JSON-ready, the same for the same request."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self.request).items()}
        return {**plain, "budget": self.budget}


@dataclass(frozen=True)
class Result:
    """The end of a night.

    Attributes:
        night: its state.
        outcome: the comparison with the last good nights; None where there was nothing to compare.
        status: the exit status.
        resumed: whether it was begun by an earlier start.
        jobs_left: the number of its jobs that are not done.
        problem: the reason that not all of its records were stored; empty if they were.
    """

    night: Night
    outcome: RegressionReport | None
    status: int
    resumed: bool
    jobs_left: int
    problem: str = ""


def run_night(
    asked: Asked,
    results: Path,
    stop: Stop,
    finish: Callable[[Night, RegressionReport | None], None],
    listener: Listener,
    new: bool = False,
) -> Result:
    """Measure, compare and sum up one night.

    Args:
        asked: the request.
        results: the folder of records.
        stop: watched all the time.
        finish: called with the finished night before it is marked so, and again if that was cut off.
        listener: told what is begun, and of every job.
        new: give up a night that was cut off instead of going on with it.

    Raises:
        UserError: the request cannot be met, another night is running, or the folder cannot be written.
    """
    request = resolve(asked.request, listener)
    device = environment.device_name(request.settings.device)
    with night_files.alone(results, device):
        night = _unfinished(asked, results, device, new, listener)
        resumed = night is not None
        if night is None:
            night = _begin(asked, results, device, pipeline.new_plan(request, None))
        plan = RUNS.load(results, night.night)
        listener.note(_opening(night, plan, resumed))
        with _Deadline(night, results, stop) as expired:
            ended = pipeline.run(plan, results, stop, listener, resumed=True)
        if ended.problem or (ended.interrupted and not expired.is_set()):
            status = 130 if ended.interrupted else 1
            return Result(night, None, status, resumed, ended.left, ended.problem)
        late = _late(plan, results, night.night)
        outcome, baseline, sentence = _compared(results, night)
        night = replace(
            night,
            left=[*night.left, *late],
            baseline=baseline,
            summary=sentence,
            failed=list(ended.failed),
            regressions=[_phrase(outcome, number) for number in range(len(outcome.regressions))] if outcome else [],
        )
        night = replace(night, status="bad" if night.regressions else "good")
        finish(night, outcome)
        night_files.save(results, night)
    return Result(night, outcome, 1 if night.regressions or night.failed else 0, resumed, ended.left)


def accept(results: Path, device: str) -> Night:
    """Take the newest finished night of a device as good, whatever it found: the next one is compared with it.

    Raises:
        UserError: there is none.
    """
    finished = [night for night in night_files.nights(results, device) if night.status in ("good", "bad")]
    if not finished:
        raise UserError(f"there is no finished night on {device} in {results / night_files.FOLDER}")
    night = replace(finished[-1], status="good")
    night_files.save(results, night)
    return night


def _unfinished(asked: Asked, results: Path, device: str, new: bool, listener: Listener) -> Night | None:
    """Return the night that was cut off, if it can be gone on with; mark those that cannot as abandoned."""
    found: Night | None = None
    for night in night_files.nights(results, device):
        if night.status != "running":
            continue
        reason = _abandon(night, results, new)
        if reason:
            listener.note(f"night {night.night} was cut off and is given up: {reason}")
            night_files.save(results, replace(night, status="abandoned", summary=f"given up: {reason}"))
        elif night.asked != asked.as_json():
            raise UserError(
                f"night {night.night} was cut off and was asked for otherwise: "
                "start it again with the same options, or give it up with --new"
            )
        else:
            found = night
    return found


def _abandon(night: Night, results: Path, new: bool) -> str:
    """Return the reason that a night that was cut off cannot be resumed; empty if it can."""
    if new:
        return "another one was asked for"
    if night.commit != environment.commit():
        return "the code is another one since"
    if (datetime.now(UTC) - datetime.fromisoformat(night.started)).total_seconds() > LONGEST_PAUSE_S:
        return "that was more than a day ago"
    return "" if RUNS.path(results, night.night).is_file() else "its plan is gone"


def _begin(asked: Asked, results: Path, device: str, plan: RunFile) -> Night:
    """Choose what fits the budget, and write down plan and night before anything is measured."""
    store = Store(results)
    now = datetime.now(UTC)
    limit = budget.seconds(asked.budget) if asked.budget else None
    around = store.add_environment(environment.capture(plan.device))
    history = History(store.query(device=device))
    choice = budget.choose(plan.jobs, history, now, environment.commit(), around, limit)
    night = Night(
        night=plan.run,
        device=device,
        commit=environment.commit(),
        asked=asked.as_json(),
        started=now.isoformat(timespec="seconds"),
        budget=limit,
        run=[_row(chosen) for chosen in choice.run],
        left=[_row(chosen, "the budget is spent on what is more urgent") for chosen in choice.left],
    )
    RUNS.save(results, replace(plan, jobs=choice.jobs))
    night_files.save(results, night)
    return night


class _Deadline:
    """Ends the measuring when the budget is spent: the job in flight is finished, no other is begun."""

    def __init__(self, night: Night, results: Path, stop: Stop) -> None:
        self._expired = threading.Event()
        self._stop = stop
        self._timer: threading.Timer | None = None
        if night.budget is not None:
            self._timer = threading.Timer(max(1.0, night.budget - _spent(night, results)), self._expire)
            self._timer.daemon = True

    def __enter__(self) -> threading.Event:
        if self._timer is not None:
            self._timer.start()
        return self._expired

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._expired.is_set():
            self._stop.requested = False

    def _expire(self) -> None:
        if not self._stop.requested:
            self._expired.set()
            self._stop.requested = True


def _spent(night: Night, results: Path) -> float:
    """Return the seconds that earlier starts of a night measured."""
    times = [record.time for record in Store(results).query(run=night.night, device=night.device)]
    if not times:
        return 0.0
    return max(0.0, (datetime.fromisoformat(max(times)) - datetime.fromisoformat(night.started)).total_seconds())


def _late(plan: RunFile, results: Path, run: str) -> list[list[Any]]:
    """Return the units that were chosen, but that time did not suffice for."""
    store = Store(results)
    done = store.done_keys(run) if run in store.runs() else set()
    missing: dict[Any, int] = {}
    for job in plan.jobs:
        if job.key() not in done:
            missing[unit_of(job)] = missing.get(unit_of(job), 0) + 1
    return [[*unit, None, f"{count} of its jobs: time was up before they began"] for unit, count in missing.items()]


def _compared(results: Path, night: Night) -> tuple[RegressionReport | None, list[str], str]:
    """Compare a night with the good ones before it: each configuration with the newest of them that measured it."""
    store = Store(results)
    known = set(store.runs(night.device))
    good = [n.night for n in night_files.nights(results, night.device) if n.status == "good" and n.night < night.night]
    good = [name for name in good if name in known]
    if night.night not in known:
        return None, good, "nothing was measured"
    if not good:
        return None, good, "the first good night: there is none to compare it with"
    records = [record for name in good for record in store.query(run=name, device=night.device)]
    last = RecordSet(f"good nights to {good[-1]}", records, store.samples, store.environment)
    try:
        outcome = compare(last, find(night.night, results), ACROSS)
    except UserError as error:
        return None, good, str(error)
    return outcome, good, outcome.sentence()


def _phrase(outcome: RegressionReport, number: int) -> str:
    model, metric, conditions, before, after, change, verdict, why = cells(outcome.regressions[number])
    where = f" ({conditions})" if conditions else ""
    return f"{model}, {metric}{where}: {verdict}, {before} → {after} {change}; {why}"


def _opening(night: Night, plan: RunFile, resumed: bool) -> str:
    what = "going on with" if resumed else "starting"
    left = f", {len(night.left)} things left out" if night.left else ""
    return f"{what} night {night.night} on {night.device}: {len(plan.jobs)} jobs{left}"


def _row(chosen: budget.PlannedUnit, reason: str = "") -> list[Any]:
    why = f"{chosen.reason}; {reason}" if reason else chosen.reason
    return [*chosen.unit, round(chosen.seconds, 1), why]
