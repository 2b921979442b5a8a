"""Tests the claims of a run's papers once everything is measured, and keeps what that gave as it comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.run import claim_check
from claimbench.bench.store import outcomes

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper
    from claimbench.bench.report.figures import Figure
    from claimbench.bench.store.ledger import Ledger
    from claimbench.bench.store.outcomes import Outcome


DONE = ("holds", "fails", "partly")
"""Verdicts that stand for a run; other claims are tested again when it goes on."""


@dataclass
class Claims:
    """The claims of one run.

    Attributes:
        ledger: of the run; learns of it when outcomes can no longer be stored.
        results: the folder of records; None to store nothing.
        stop: watched while an experiment runs.
        again: whether to test again what the run has tested before, since it has measured more since.
        listener: told which claim is tested next.
        interrupted: whether a signal left claims untested.
    """

    ledger: Ledger
    results: Path | None
    stop: Stop
    again: bool
    listener: Listener = SILENT
    interrupted: bool = False
    _early: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def outcomes(self, paper: Paper, figures: Iterable[Figure], early: bool = False) -> dict[str, Outcome]:
        """Return what testing each claim of ``paper`` that has an experiment gave, in this run or before it went on.

        Args:
            paper: the paper.
            figures: what was measured.
            early: whether to test only claims that rest on counts; they are not tested again later.
        """
        from claimbench.bench.papers import registry

        run = self.ledger.run
        stored = {} if self.results is None else outcomes.stored(self.results, paper.id, run)
        found = {} if self.again else {name: one for name, one in stored.items() if one.verdict in DONE}
        found |= self._early.get(paper.id, {})
        left = [claim for claim in paper.claims if claim.experiment and claim.id not in found]
        left = [claim for claim in left if claim.counts or not early]
        try:
            for name, outcome in claim_check.check(
                paper.id, left, registry.entry(paper.id).module, figures, self.stop, self.listener
            ):
                found[name] = outcome
                if self.results is not None and outcome != stored.get(name) and not self.ledger.problem:
                    outcomes.save(self.results, paper.id, run, {name: outcome})
        except UserError as error:
            self.ledger.problem = str(error)
        except Interrupted:
            self.interrupted = True
        if early:
            self._early[paper.id] = {name: outcome for name, outcome in found.items() if outcome.verdict in DONE}
        return found
