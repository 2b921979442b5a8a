"""The findings of a comparison: a verdict for each configuration, its possible causes, and the whole in a sentence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from claimbench.bench.watch.regress.pairing import Matched, Unmatched
from claimbench.bench.watch.regress.shift import Shift
from claimbench.bench.watch.regress.surroundings import Change

Verdict = Literal[
    "slower",
    "faster",
    "more",
    "less",
    "changed",
    "broken",
    "mended",
    "failed",
    "worse",
    "better",
    "same",
    "cannot tell",
]
"""``slower`` and ``faster`` are times; ``more`` and ``less`` memory and energy; ``changed`` an exact figure that moved;
``broken`` and ``mended`` parity; ``worse`` and ``better`` accuracy; ``failed`` what was measured and no longer is."""

REGRESSIONS = ("slower", "more", "changed", "broken", "failed", "worse")

IMPROVEMENTS = ("faster", "less", "mended", "better")

Cause = Literal["", "code", "environment", "code or environment", "unknown"]
"""The possible cause of a change: the commit, its surroundings, both, or nothing recorded."""


@dataclass(frozen=True)
class Finding:
    """One configuration.

    Attributes:
        matched: the two series.
        verdict: see :data:`Verdict`.
        reason: the ground of the verdict, one phrase.
        change: the relative change, of the time for times; None where there is none to give.
        low, high: its interval, which holds for all comparisons together; None where the method gives none.
        needed: further rounds a side that a decision takes; 0 if rounds do not decide it.
        cause: see :data:`Cause`; empty where nothing changed.
        because: the cause in words.
    """

    matched: Matched
    verdict: Verdict
    reason: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    needed: int = 0
    cause: Cause = ""
    because: str = ""

    @property
    def regression(self) -> bool:
        """Whether it is a change for the worse, or of what may not change at all."""
        return self.verdict in REGRESSIONS


@dataclass(frozen=True)
class RegressionReport:
    """A whole comparison.

    Attributes:
        baseline, candidate: by the user's names.
        commits: the commits of each side, shortened.
        findings: the configurations that were compared.
        unmatched: those that were not.
        machine: the common shift of all times; None with too few times.
        changes: in the surroundings of the code, each once.
        problems: lines or files that could not be read, one sentence each.
    """

    baseline: str
    candidate: str
    commits: tuple[tuple[str, ...], tuple[str, ...]]
    findings: tuple[Finding, ...]
    unmatched: tuple[Unmatched, ...]
    machine: Shift | None
    changes: tuple[Change, ...]
    problems: tuple[str, ...] = ()

    @property
    def regressions(self) -> list[Finding]:
        """The findings that are regressions."""
        return [finding for finding in self.findings if finding.regression]

    @property
    def unsettled(self) -> list[Finding]:
        """The findings that leave open what they ask."""
        return [finding for finding in self.findings if finding.verdict == "cannot tell"]

    def status(self) -> int:
        """Return the exit status: 1 where there is a regression."""
        return 1 if self.regressions else 0

    def sentence(self) -> str:
        """Return the whole in one sentence."""
        counts = Counter(finding.verdict for finding in self.findings)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        head = f"{len(self.regressions)} regressions" if len(self.regressions) != 1 else "1 regression"
        if not self.regressions:
            head = "no regression found" if self.unsettled else "no regression"
        left = f"; {len(self.unmatched)} not comparable" if self.unmatched else ""
        return f"{head} in {len(self.findings)} comparisons ({told}){left}"
