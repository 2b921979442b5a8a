"""The choice of a plan's units within a budget: the most out of date and most valuable for their time come first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.records import Job
from claimbench.bench.core.text import duration
from claimbench.bench.store.history import History, Past, Unit, unit_of

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
    urgent = []
    for unit, group in grouped(jobs, unit_of).items():
        cost = sum(history.seconds(job) for job in group)
        days, state = _age(history.past(unit), now, commit, environment)
        worth = WORTH.get(unit[2], OTHER_WORTH) * max(days, 0.01)
        urgent.append((worth / max(cost, 1.0), PlannedUnit(unit, cost, state)))
    run, left = [], []
    spent = 0.0
    for _, planned in sorted(urgent, key=lambda one: -one[0]):
        # What alone takes longer than the budget has its turn in a night that has hardly begun, or it never would.
        if budget is None or spent + min(planned.seconds, budget) <= budget:
            spent += planned.seconds
            run.append(planned)
        else:
            left.append(planned)
    taken = {planned.unit for planned in run}
    return Choice(tuple(job for job in jobs if unit_of(job) in taken), tuple(run), tuple(left))


def _age(past: Past | None, now: datetime, commit: str, environment: str) -> tuple[float, str]:
    """Return the days that a unit's last measurement counts as old, and its age as a phrase."""
    if past is None:
        return NEVER_DAYS, "never measured here"
    others = {"another commit": past.commit != commit, "another environment": past.environment != environment}
    changed = " and ".join(name for name, other in others.items() if other)
    since = max(0.0, (now - past.time).total_seconds())
    text = f"last measured {duration(since)} ago" + (f", at {changed}" if changed else "")
    return since / 86400 * (CHANGED if changed else 1), text
