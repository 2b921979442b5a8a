"""Like with like: the pairs of series of a candidate and the baseline, and the reasons against the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.records import Settings
from claimbench.bench.report import metrics
from claimbench.bench.watch.regress.series import Series
from claimbench.bench.watch.regress.surroundings import Change, changes

ACROSS = ("machine", "versions", *(field.name for field in fields(Settings)))
"""The differences that a user may ask to compare across: another machine, other versions, or any one setting."""

_STATIC = ("count", "parity")
"""Kinds of rows that no version of anything and (for counts) no machine may move."""

Environment = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Matched:
    """Two series of the same thing.

    Attributes:
        baseline, candidate: the two.
        changes: the differences around them: none, or those asked to be compared across.
    """

    baseline: Series
    candidate: Series
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Unmatched:
    """A series that has nothing to be compared with, and why, in one phrase; ``across`` names what would allow it."""

    series: Series
    reason: str
    across: tuple[str, ...] = ()


def pair(
    baseline: Sequence[Series],
    candidate: Sequence[Series],
    environments: tuple[Environment, Environment],
    across: Collection[str] = (),
) -> tuple[list[Matched], list[Unmatched]]:
    """Return the pairs that can be compared, in the order of the candidate, and the series that cannot.

    Args:
        baseline, candidate: the two sides.
        environments: give each side's environments by digest.
        across: names of :data:`ACROSS` that may differ.
    """
    waiting, asked = grouped(baseline, _subject), set(across)
    found: dict[int, Matched] = {}
    lonely: list[int] = []
    for exact in (True, False):  # first those that need no leave, so that these never take one another's partner
        allowed: set[str] = set() if exact else asked
        for index, series in enumerate(candidate):
            if index in found:
                continue
            partners = waiting.get(_subject(series), [])
            fitting = [p for p in partners if {kind for kind, _ in _differences(p, series, environments)} <= allowed]
            if fitting:
                partner = min(fitting, key=lambda p: len(list(_differences(p, series, environments))))
                partners.remove(partner)
                found[index] = Matched(partner, series, _changes(partner, series, environments))
            elif not exact:
                lonely.append(index)
    both = [found[index] for index in sorted(found)]
    left = [Unmatched(m.candidate, reason) for m in both if (reason := _one_sided(m))]
    for index in lonely:
        series = candidate[index]
        partners = waiting.get(_subject(series), [])
        left.append(_unmatched(series, partners, environments))
        if partners:
            partners.pop(0)
    left += [Unmatched(series, "only in the baseline") for partners in waiting.values() for series in partners]
    return [m for m in both if not _one_sided(m)], left


def _one_sided(matched: Matched) -> str:
    """Return the reason that two series of one figure cannot be compared; empty if they can, or if one newly failed."""
    before, after = matched.baseline, matched.candidate
    if before.rounds and after.rounds:
        return ""
    if not before.rounds and not after.rounds:
        return f"{after.status} on both sides"
    if after.rounds:
        reason = before.last.measurement.reason
        return "" if before.status == "failed" else f"not measured in the baseline ({reason})"
    return "" if after.status == "failed" else f"no longer measured ({after.last.measurement.reason})"


def _unmatched(series: Series, partners: Sequence[Series], environments: tuple[Environment, Environment]) -> Unmatched:
    """Return the reason that a series of the candidate has no partner, from the nearest series of the baseline."""
    if not partners:
        return Unmatched(series, "only in the candidate")
    nearest = min((list(_differences(p, series, environments)) for p in partners), key=len)
    reason = "; ".join(dict.fromkeys(text for _, text in nearest))
    return Unmatched(series, reason or "measured twice", tuple(dict.fromkeys(kind for kind, _ in nearest)))


def _subject(series: Series) -> tuple[str, ...]:
    return series.paper, series.subject, series.form, series.row


def _changes(before: Series, after: Series, environments: tuple[Environment, Environment]) -> tuple[Change, ...]:
    first, second = environments[0](before.environment), environments[1](after.environment)
    return tuple(changes(first, second)) if first and second else ()


def _differences(
    before: Series, after: Series, environments: tuple[Environment, Environment]
) -> Iterator[tuple[str, str]]:
    """Yield the reasons against comparing two series of one subject and row: a name of :data:`ACROSS`, and a phrase."""
    for name, old in vars(before.settings).items():
        new = getattr(after.settings, name)
        if old != new:
            yield name, f"{name.replace('_', ' ')} {_text(old)} against {_text(new)}"
    if before.settings.batch == after.settings.batch and before.batch != after.batch:
        yield "batch", f"batch {before.batch} against {after.batch}, each the best found"
    if before.settings.input_size == after.settings.input_size and before.shape != after.shape:
        yield "input_size", f"input of {_text(before.shape)} against {_text(after.shape)}"
    kind = metrics.row(after.row).kind
    if kind == "count":
        return
    if before.device != after.device:
        yield "machine", f"measured on {before.device or 'one'} and {after.device or 'another'}"
    if kind in _STATIC or before.environment == after.environment:
        return
    if not environments[0](before.environment) or not environments[1](after.environment):
        yield "versions", "the environment of one side is not stored"
        return
    for change in _changes(before, after, environments):
        yield change.where, str(change)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "default"
    return "default" if value is None else str(value)
