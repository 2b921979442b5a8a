"""The numbers of figures with each answer: one count for every table, card, page and badge."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import get_args

from claimbench.bench.report.rows import Row
from claimbench.bench.report.verdicts import Degree

AGREEING: tuple[Degree, ...] = ("off", "explained", "holds", "open", "not reported")
"""The degrees in the order in which one stands for several rows of the same figure."""


def tally(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of figures of each degree, those that nobody reports included.

    A printed figure that several machines answer counts once, with the least agreeing of their answers. The official
    code is counted apart: ``parity`` is the number of models that equal it, ``compared`` that of all compared with it.
    """
    printed: dict[Hashable, Degree] = {}
    models: dict[Hashable, bool] = {}
    for row in rows:
        if row.is_parity:
            if row.value is not None:
                model = (row.subject, row.form)
                models[model] = models.get(model, True) and row.degree == "holds"
            continue
        figure = (row.subject, row.form, row.metric, row.reported, row.source, "" if row.reported else row.conditions)
        printed[figure] = min(row.degree, printed.get(figure, row.degree), key=AGREEING.index)
    found = dict.fromkeys(get_args(Degree), 0)
    for degree in printed.values():
        found[degree] += 1
    return {**found, "parity": sum(models.values()), "compared": len(models)}
