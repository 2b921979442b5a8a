"""A run's plan, kept beside its records for ``--resume``."""

from __future__ import annotations

from dataclasses import dataclass

from claimbench.bench.store.plans import Plan, Plans


@dataclass(frozen=True)
class RunFile(Plan):
    """The plan of a run.

    Attributes:
        papers: the ids of those that are reported on at its end.
        device: that it measures on.
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
