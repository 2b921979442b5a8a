"""What an experiment behind a headline claim is given, and what it gives back.

Only the standard library is imported here: reproductions share these types with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ClaimVerdict = Literal["holds", "fails", "partly", "untested"]


@dataclass(frozen=True)
class Evidence:
    """One figure behind a verdict.

    Attributes:
        name: what it is.
        value: as measured; None where it could not be.
        unit: of the value; empty for a ratio.
        reported: what the paper states for it, as printed; empty where it states nothing.
    """

    name: str
    value: float | None
    unit: str = ""
    reported: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """What an experiment found.

    Attributes:
        verdict: ``holds`` and ``fails`` judge the whole claim, ``partly`` a part of it that was tested, ``untested``
            nothing.
        evidence: the figures, in the order to show them.
        limits: what the experiment leaves open, one or two sentences.
    """

    verdict: ClaimVerdict
    evidence: tuple[Evidence, ...]
    limits: str


@dataclass(frozen=True)
class Trained:
    """What one training of a paper's model left for the paper's claims, see
    :mod:`claimbench.bench.training.for_claims`.

    Attributes:
        variant: what was trained.
        dataset: on what, by the name that ``--dataset`` takes.
        folder: where its weights are.
        figures: what the task's trainer found worth keeping, JSON-ready.
    """

    variant: str
    dataset: str
    folder: Path
    figures: Mapping[str, Any]


def _nothing_trained() -> tuple[Trained, ...]:
    return ()


@dataclass(frozen=True)
class ClaimContext:
    """What an experiment may ask of the engine.

    Attributes:
        measure: ``measure(subject, form, metric)`` returns the value of a metric's row (``params``, ``macs``,
            ``throughput``, ...) for a variant or ``timm:<model>`` (whose form is empty), or None where this machine
            or this run does not give it.
        trained: ``trained()`` returns what ``bench train`` left of the paper's models in the working folder.
    """

    measure: Callable[[str, str, str], float | None]
    trained: Callable[[], tuple[Trained, ...]] = _nothing_trained
