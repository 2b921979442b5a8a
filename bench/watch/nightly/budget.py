"""The choice of a plan's units within a budget: the most out of date and most valuable for their time come first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job
from claimbench.bench.watch.nightly.history import History, Unit, age, unit_of

WORTH = {"parity": 3.0, "params": 3.0, "flops": 3.0, "latency": 2.0, "throughput": 2.0, "memory": 1.0, "energy": 1.0}
"""The worth of a metric: correctness of a model counts first, then its speed, then the rest."""

OTHER_WORTH = 0.5

NEVER_DAYS = 30.0
"""The age in days that a unit without any measurement counts as."""

CHANGED = 4.0
"""A figure of other code or another environment counts as this many times as old."""

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")


@dataclass(frozen=True)
class PlannedUnit:
    """A unit of the plan, whether it is run or left out.

    Attributes:
        unit: the unit.
        seconds: the time that it is expected to take.
        reason: for its place in the order, one phrase.
    """

    unit: Unit
    seconds: float
    reason: str


@dataclass(frozen=True)
class Choice:
    """The units that a night runs, in the plan's order, and those it leaves out, the most urgent first."""

    jobs: tuple[Job, ...]
    run: tuple[PlannedUnit, ...]
    left: tuple[PlannedUnit, ...]


def seconds(text: str) -> float:
    """Return a duration in seconds: ``90s``, ``45m``, ``2h``, ``1h30m``.

    Raises:
        UserError: the text is no duration.
    """
    parts = _PARTS.findall(text.strip())
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != re.sub(r"\s", "", text):
        raise UserError(f"budget {text!r} is not a duration like 90s, 45m, 2h or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < total <= 7 * _UNITS["d"]:
        raise UserError(f"budget {text!r} is not between a second and seven days")
    return total


def choose(
    jobs: Sequence[Job], history: History, now: datetime, commit: str, environment: str, budget: float | None
) -> Choice:
    """Return the units of ``jobs`` to run, and those left out.

    The unit of the highest worth a second comes first: a metric's worth times the days since it was last measured
    (more where
    the commit or the environment is another one since), over the time that it takes. Waiting makes everything urgent in
    the end, so that nothing is left out for ever.

    Args:
        jobs: the whole plan, in its order.
        history: of the device.
        now, commit, environment: of this night.
        budget: seconds; None for everything.
    """
    units: dict[Unit, list[Job]] = {}
    for job in jobs:
        units.setdefault(unit_of(job), []).append(job)
    costs = {unit: sum(history.seconds(job) for job in group) for unit, group in units.items()}
    urgency = {unit: _urgency(unit, history, now, commit, environment) / max(costs[unit], 1.0) for unit in units}
    order = sorted(units, key=lambda unit: -urgency[unit])
    taken: dict[Unit, PlannedUnit] = {}
    left: list[PlannedUnit] = []
    spent = 0.0
    for unit in order:
        why = _state(unit, history, now, commit, environment)
        # What alone takes longer than the budget has its turn in a night that has hardly begun, or it never would.
        if budget is None or spent + min(costs[unit], budget) <= budget:
            spent += costs[unit]
            taken[unit] = PlannedUnit(unit, costs[unit], why)
        else:
            left.append(PlannedUnit(unit, costs[unit], why))
    run = tuple(taken[unit] for unit in order if unit in taken)
    return Choice(tuple(job for job in jobs if unit_of(job) in taken), run, tuple(left))


def _urgency(unit: Unit, history: History, now: datetime, commit: str, environment: str) -> float:
    past = history.past(unit)
    since = age(past, now)
    days = NEVER_DAYS if since is None else since.total_seconds() / 86400
    if past is not None and (past.commit, past.environment) != (commit, environment):
        days *= CHANGED
    return WORTH.get(unit[2], OTHER_WORTH) * max(days, 0.01)


def _state(unit: Unit, history: History, now: datetime, commit: str, environment: str) -> str:
    """Return the age of a unit as a phrase."""
    past = history.past(unit)
    since = age(past, now)
    if past is None or since is None:
        return "never measured here"
    changed = [
        *(["another commit"] if past.commit != commit else []),
        *(["another environment"] if past.environment != environment else []),
    ]
    text = f"last measured {duration(since.total_seconds())} ago"
    return f"{text}, at {' and '.join(changed)}" if changed else text


def duration(length: float) -> str:
    """Return seconds as a person would say them."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if round(length) >= 2 * size:
            return f"{length / size:.0f} {unit}"
    return f"{length:.0f} s"
