"""The types of measured rows and reported metrics; :mod:`claimbench.bench.report.metrics` and the tasks name them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["count", "time", "memory", "energy", "quality", "parity"]
"""The kind of comparison. ``count``: the same on every machine, either right or not. ``time``, ``memory`` and
``energy`` belong to a device. ``quality``: needs weights and data, and more of it is better. ``parity``: against
official code."""

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class MeasuredRow:
    """A row that the suite measures.

    Attributes:
        title: its name in tables.
        kind: see :data:`Kind`.
        unit: of the figures in tables.
        scale: the measured figure divided by this is in ``unit``.
        better: ``higher`` or ``lower``; empty if neither is.
        least, most: the measured figure lies between them, inclusive; None if there is no such bound.
    """

    title: str
    kind: Kind
    unit: str
    scale: Decimal = Decimal(1)
    better: Better = ""
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Answer:
    """A measured row that answers a reported metric: measured over ``scale`` is in the reported unit.

    Attributes:
        row: the measured row's name.
        scale: see above.
        convention: for all but the first answer, the convention of a source that this one matches.
    """

    row: str
    scale: Decimal = Decimal(1)
    convention: str = ""


@dataclass(frozen=True)
class Quantity:
    """A metric that papers report.

    Attributes:
        title: its name in tables.
        kind: see :data:`Kind`.
        unit: the unit of the printed figure.
        answers: the measured rows that answer it; the verdict is on the first, the others may explain a difference.
        better: ``higher`` or ``lower``; empty if neither is.
        needs: the requirements of a measurement, if nothing here answers it.
        classes: the number of classes in the data set of a score: no other data set's score answers it.
    """

    title: str
    kind: Kind
    unit: str
    answers: tuple[Answer, ...] = ()
    better: Better = ""
    needs: str = ""
    classes: int | None = None


def sampled(unit: str, sample: str) -> str:
    """Return a unit of :data:`ROWS` for inputs that ``sample`` names: img/s becomes seq/s."""
    return unit.replace("img", sample)


TRAINING = "_training"
"""The suffix of rows measured on training steps, which never answer a figure about inference."""
