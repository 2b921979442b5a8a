"""Tests the claims of a run's papers once everything is measured, and keeps what that gave as it comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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

    def outcomes(self, paper: Paper, figures: Iterable[Figure]) -> dict[str, Outcome]:
        """Return the outcome of each claim of ``paper`` with an experiment; stored ones are reused unless ``again``."""
        from claimbench.bench.papers import registry

        run = self.ledger.run
        stored = {} if self.results is None else outcomes.stored(self.results, paper.id, run)
        found = {} if self.again else {name: one for name, one in stored.items() if one.verdict != "not tested"}
        left = [claim for claim in paper.claims if claim.experiment and claim.id not in found]
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
        return found
