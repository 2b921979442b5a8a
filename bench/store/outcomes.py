"""The outcomes of the tests of papers' claims, stored a line a run below ``results/claims``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from claimbench.bench.store import jsonl


@dataclass(frozen=True)
class Outcome:
    """The outcome of the test of one claim, in words, for :class:`claimbench.bench.report.report.ClaimOutcome`."""

    verdict: str
    evidence: str
    limits: str


def save(results: Path, paper: str, run: str, outcomes: Mapping[str, Outcome]) -> None:
    """Append the outcomes of a paper's claims in one run.

    Raises:
        UserError: the folder cannot be written.
    """
    line = {"run": run, "claims": {name: asdict(outcome) for name, outcome in outcomes.items()}}
    jsonl.append(_path(results, paper), [json.dumps(line).encode()])


def stored(results: Path, paper: str, run: str | None = None) -> dict[str, Outcome]:
    """Return the newest stored outcome of each claim of a paper (in ``run``); damaged lines are passed over."""
    found: dict[str, Outcome] = {}
    try:
        lines, _ = jsonl.read(_path(results, paper))
    except OSError:
        return found
    for line in lines:
        try:
            data = json.loads(line)
            if run in (None, data["run"]):
                found |= {str(name): Outcome(**outcome) for name, outcome in data["claims"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _path(results: Path, paper: str) -> Path:
    return results / "claims" / f"{paper}.jsonl"
