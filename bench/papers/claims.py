"""The input and the result of an experiment behind a headline claim.

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
        name: of the figure, in words.
        value: as measured; None if it could not be.
        unit: of the value; empty for a ratio.
        reported: the paper's figure as printed; empty if it states none.
    """

    name: str
    value: float | None
    unit: str = ""
    reported: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """The result of an experiment.

    Attributes:
        verdict: ``holds`` and ``fails`` judge the whole claim, ``partly`` a part of it that was tested, ``untested``
            nothing.
        evidence: the figures, in the order to show them.
        limits: the questions that the experiment leaves open, one or two sentences.
    """

    verdict: ClaimVerdict
    evidence: tuple[Evidence, ...]
    limits: str


@dataclass(frozen=True)
class Trained:
    """The result of one training of a paper's model, kept for the paper's claims; see
    :mod:`claimbench.bench.training.for_claims`.

    Attributes:
        variant: the one that was trained.
        dataset: of the training, by the name that ``--dataset`` takes.
        folder: of its weights.
        figures: chosen by the task's trainer, JSON-ready.
    """

    variant: str
    dataset: str
    folder: Path
    figures: Mapping[str, Any]


def _nothing_trained() -> tuple[Trained, ...]:
    return ()


@dataclass(frozen=True)
class ClaimContext:
    """The services of the engine that an experiment may use.

    Attributes:
        measure: ``measure(subject, form, metric)`` returns the value of a metric's row (``params``, ``macs``,
            ``throughput``, ...) for a variant or ``timm:<model>`` (whose form is empty), or None if this machine or
            this run does not give it.
        trained: ``trained()`` returns the results of ``bench train`` for the paper's models in the working folder.
    """

    measure: Callable[[str, str, str], float | None]
    trained: Callable[[], tuple[Trained, ...]] = _nothing_trained
