"""The surroundings of two sides of a comparison, machine, versions and clocks: possible causes of a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from claimbench.bench.core.records import Record
from claimbench.bench.core.statistics import median
from claimbench.bench.core.text import flat
from claimbench.bench.machine.load import OTHERS_CORES, STOLEN, MachineReport
from claimbench.bench.store.evidence.reading import shown

Where = Literal["machine", "versions"]
"""``machine``: it is another one. ``versions``: the same one with other software, driver, clocks or variables."""

CLOCKS = 0.03
"""Clocks that differ by more than this are a change of the machine."""

MEMORY = 0.05
"""A machine's memory may differ by this share from one start to the next."""

_OURS = ("claimbench",)
"""Libraries that are this suite: the commit says more."""


@dataclass(frozen=True)
class Change:
    """Something that is not as it was."""

    where: Where
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what} {self.before or 'none'} → {self.after or 'none'}"


@dataclass(frozen=True)
class Surroundings:
    """The state of the machine during rounds, medians over them; None if they did not record it.

    Attributes:
        clock_mhz: of the GPU if there is one, else of the processor.
        others: the cores that other processes used.
        stolen: the share of processor time that a hypervisor took.
    """

    clock_mhz: float | None
    others: float | None
    stolen: float | None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the differences between two environments (:func:`claimbench.bench.machine.environment.capture`)."""
    first, second = flat(before), flat(after)
    found = []
    for name in sorted(first.keys() | second.keys()):
        old, new = first.get(name, ""), second.get(name, "")
        if old == new or name.removeprefix("libraries.") in _OURS:
            continue
        if name in ("memory_bytes", "gpu.memory_bytes") and _close(old, new, MEMORY):
            continue
        found.append(Change(_where(name), _title(name), old, new))
    return found


def state(records: Iterable[Record]) -> Surroundings:
    """Return the state of the machine while ``records`` were measured."""
    reports = [report for record in records if (report := shown(record.measurement).machine) is not None]
    clocks = [float(clock) for report in reports if (clock := _clock(report)) is not None]
    return Surroundings(
        _middle(clocks),
        _middle([report.others_cores for report in reports]),
        _middle([report.stolen for report in reports]),
    )


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def clock_change(before: Surroundings, after: Surroundings) -> Change | None:
    """Return the change of the clocks; None if they are the same or not known."""
    if not before.clock_mhz or not after.clock_mhz or abs(after.clock_mhz / before.clock_mhz - 1) <= CLOCKS:
        return None
    return Change("versions", "clock", f"{before.clock_mhz:.0f} MHz", f"{after.clock_mhz:.0f} MHz")


def busier(before: Surroundings, after: Surroundings) -> str:
    """Return a phrase if others took more of the machine ``after`` than ``before``; else an empty one."""
    if _more(before.others, after.others, OTHERS_CORES):
        return f"other processes used {after.others:.1f} cores, and {before.others or 0:.1f} on the other side"
    if _more(before.stolen, after.stolen, STOLEN):
        return (
            f"the hypervisor took {after.stolen:.0%} of the processors, and {before.stolen or 0:.0%} on the other side"
        )
    return ""


def _more(before: float | None, after: float | None, limit: float) -> bool:
    return after is not None and after - (before or 0.0) > limit


def _clock(report: MachineReport) -> int | None:
    """Return the clock after a measurement: of the GPU, else of the processor."""
    return report.after.gpu.sm_mhz if report.after.gpu else report.after.cpu_mhz


def _where(name: str) -> Where:
    machine = name in ("device", "memory_bytes", "gpu.name", "gpu.memory_bytes") or name.startswith("cpu.")
    return "machine" if machine else "versions"


def _title(name: str) -> str:
    return name.removeprefix("libraries.").removeprefix("variables.").replace("_", " ").replace(".", " ")


def _close(first: str, second: str, share: float) -> bool:
    try:
        return abs(float(first) / float(second) - 1) <= share
    except (ValueError, ZeroDivisionError):
        return False
