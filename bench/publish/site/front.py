"""The findings of the first page: what does not hold, whether the ideas help, the speed against the official code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claimbench.bench.publish.site.gather import Material, PaperResults
from claimbench.bench.report.rows import Row
from claimbench.bench.report.speed import TimedPair, is_official
from claimbench.bench.report.tally import tally
from claimbench.bench.training.study.summary import Summary

BROKEN_CLAIMS = ("fails", "failed")
"""The verdicts under which a claim stands among the findings."""


@dataclass(frozen=True)
class OffFigures:
    """The figures of a paper that are off: their number, and the one that is furthest off."""

    paper: str
    count: int
    worst: Row


@dataclass(frozen=True)
class OfficialSpeed:
    """The speed of a paper's model against the official code: more than 1 if ours is faster."""

    paper: str
    pair: TimedPair


@dataclass(frozen=True)
class Findings:
    """The findings of all papers.

    Attributes:
        off: the papers with figures that are off, the furthest first.
        claims: (paper, claim, verdict) of claims that fail, or whose experiment crashed.
        studies: the papers whose study has each verdict.
        speeds: the speeds against the official code, the highest first.
    """

    off: tuple[OffFigures, ...]
    claims: tuple[tuple[str, str, str], ...]
    studies: dict[str, tuple[str, ...]]
    speeds: tuple[OfficialSpeed, ...]

    @property
    def faster(self) -> int:
        """The number of models that are surely faster than the official code."""
        return sum(speed.pair.verdict == "faster" for speed in self.speeds)

    @property
    def slower(self) -> int:
        """The number of models that are surely slower."""
        return sum(speed.pair.verdict == "slower" for speed in self.speeds)


def findings(material: Material) -> Findings:
    """Return the findings of everything that is stored."""
    off = [found for result in material.papers if (found := off_figures(result)) is not None]
    return Findings(
        off=tuple(sorted(off, key=lambda found: -abs(found.worst.relative or 0))),
        claims=tuple(
            (result.paper.id, claim.text, claim.verdict)
            for result in material.papers
            for claim in result.report.claims
            if claim.verdict in BROKEN_CLAIMS
        ),
        studies=_by_verdict(material.studies),
        speeds=tuple(sorted(_speeds(material.papers), key=lambda speed: -speed.pair.ratio)),
    )


def off_figures(result: PaperResults) -> OffFigures | None:
    """Return what is off of a paper; None if nothing is."""
    rows = [row for row in result.report.rows if row.degree == "off" and not row.is_parity]
    if not rows:
        return None
    return OffFigures(result.paper.id, tally(rows)["off"], max(rows, key=lambda row: abs(row.relative or 0)))


def _by_verdict(studies: Iterable[Summary]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {"helps": [], "hurts": [], "no difference seen": []}
    for summary in studies:
        if summary.difference is not None:
            found.setdefault(summary.difference.verdict, []).append(summary.paper)
    return {verdict: tuple(dict.fromkeys(papers)) for verdict, papers in found.items()}


def _speeds(results: Iterable[PaperResults]) -> Iterable[OfficialSpeed]:
    for result in results:
        own = set(result.report.variants)
        for pair in result.report.pairs:
            for turned in (pair, pair.turned()):
                if turned.subject(0) in own and is_official(turned.subject(1)) and turned.title == "Throughput":
                    yield OfficialSpeed(result.paper.id, turned)
