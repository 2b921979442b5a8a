"""A run's plan, beside its records: what ``--resume`` goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from claimbench.bench.store.plans import Plan, Plans


@dataclass(frozen=True)
class RunFile(Plan):
    """A run as it was planned.

    Attributes:
        papers: what is reported on at its end, by id.
        device: where it measures.
        timeout: seconds for one job; None for each metric's own.
        seed: of the order of the rounds.
        claims: whether the papers' claims are tested once everything is measured.
        all: whether rows that no paper reports are shown too.
    """

    papers: tuple[str, ...]
    device: str
    timeout: float | None = None
    seed: int = 0
    claims: bool = True
    all: bool = False


RUNS = Plans(
    RunFile,
    "runs/{}.json",
    noun="run",
    title="run",
    absent="run to resume",
    hint=": choose another folder with --results, or keep nothing with --no-store",
)
