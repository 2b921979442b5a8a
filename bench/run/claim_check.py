"""Puts a paper's claims to the test in a process of its own: ``python -m claimbench.bench.run.claim_check`` runs one
experiment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.task import TRAINED
from claimbench.bench.machine.process import Interrupted, Stop, ask, open_answer
from claimbench.bench.papers.claims import ClaimContext
from claimbench.bench.store.outcomes import Outcome
from claimbench.bench.training import for_claims

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Claim
    from claimbench.bench.report.figures import Figure

TIMEOUT_S = 600.0


def check(
    paper: str,
    claims: Sequence[Claim],
    module: str,
    figures: Iterable[Figure],
    stop: Stop,
    listener: Listener = SILENT,
) -> Iterator[tuple[str, Outcome]]:
    """Yield the id and the outcome of each of a paper's claims, all of which have an experiment.

    Args:
        paper: the paper's id.
        claims: those to test.
        module: the paper's Python package.
        figures: the measured ones; an experiment may ask for any of them.
        stop: watched while an experiment runs.
        listener: told of each claim before it is tested.

    Raises:
        Interrupted: a signal asked to stop.
    """
    values = [[f.subject, f.form, f.row, f.value] for f in figures if f.value is not None]
    for number, claim in enumerate(claims, 1):
        if stop.requested:
            raise Interrupted
        task = {"paper": paper, "module": f"{module}.claims", "experiment": claim.experiment, "values": values}
        with listener.begin(f"testing {paper}: claim {number} of {len(claims)}, {claim.id}"):
            try:
                outcome = _outcome(ask("claimbench.bench.run.claim_check", task, TIMEOUT_S, stop))
            except RuntimeError as error:
                outcome = Outcome("failed", "", f"its experiment failed: {error}")
        yield claim.id, outcome


def _outcome(result: dict[str, Any]) -> Outcome:
    verdict = "not tested" if result["verdict"] == "untested" else result["verdict"]
    return Outcome(verdict, "; ".join(_sentence(evidence) for evidence in result["evidence"]), result["limits"])


def _sentence(evidence: dict[str, Any]) -> str:
    value = evidence["value"]
    shown = "not measured" if value is None else f"{value:.4g} {evidence['unit']}".strip()
    return f"{evidence['name']}: {shown}" + (f" (reported {evidence['reported']})" if evidence["reported"] else "")


def main(argv: list[str] | None = None) -> int:
    """Run the experiment that stdin names and answer with its result."""
    with open_answer(argv) as file:
        task = json.load(sys.stdin)
        values = {(subject, form, row): value for subject, form, row, value in task["values"]}
        context = ClaimContext(
            measure=lambda subject, form, metric: values.get((subject, form, metric)),
            trained=lambda: for_claims.read(TRAINED, task["paper"]),
        )
        result = getattr(import_module(task["module"]), task["experiment"])(context)
        file.write(json.dumps(asdict(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
