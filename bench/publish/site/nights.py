"""The stored nights as a page and as an Atom feed: what changed, night by night."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claimbench.bench.store.night_files import Night
from claimbench.bench.store.store import slug, when


@dataclass(frozen=True)
class NightLine:
    """One night on one device, as pages show it.

    Attributes:
        id: that of its run; ``anchor`` is its place in the page.
        day, updated: its start, as a day and as RFC 3339.
        device, commit, status, summary: of the night.
        regressions, failed: a phrase each.
    """

    id: str
    anchor: str
    day: str
    updated: str
    device: str
    commit: str
    status: str
    summary: str
    regressions: tuple[str, ...]
    failed: tuple[str, ...]


def night_lines(nights: Iterable[Night]) -> list[NightLine]:
    """Return every night that has ended, the newest first; one whose time makes no sense is left out."""
    found = []
    for night in nights:
        time = when(str(night.started))
        if time is None or night.status not in ("good", "bad"):
            continue
        found.append(
            NightLine(
                id=str(night.night),
                anchor=slug(f"night {night.device} {night.night}"),
                day=time.date().isoformat(),
                updated=time.isoformat(timespec="seconds"),
                device=str(night.device),
                commit=str(night.commit),
                status=night.status,
                summary=str(night.summary),
                regressions=_texts(night.regressions),
                failed=_texts(night.failed),
            )
        )
    return sorted(found, key=lambda line: (line.updated, line.device), reverse=True)


def _texts(value: object) -> tuple[str, ...]:
    """Return a stored list as texts; a damaged one is empty."""
    return tuple(map(str, value)) if isinstance(value, list) else ()
