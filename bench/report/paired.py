"""Two models on the same pictures: is one better than by chance?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations

from claimbench.bench.core import statistics
from claimbench.bench.core.bits import unpacked
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.rows import Row, measured_row

LEVEL = 0.05
"""A difference counts if one at least as uneven has a smaller chance than this between equals."""


def paired_rows(figures: Iterable[Figure]) -> Iterator[Row]:
    """Yield a row for every two models whose answers to the same pictures one run has kept.

    The test is McNemar's exact one: of the pictures that one model alone got right, is the split between the two more
    uneven than a fair coin's? It sees differences that the intervals of two separate scores hide.
    """
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        if figure.value is not None and figure.detail.right and figure.detail.images:
            key = (figure.run, figure.row, str(figure.detail.pictures_sha256))
            groups.setdefault(key, []).append(figure)
    for group in groups.values():
        for first, second in combinations(group, 2):
            yield _row(first, second, group)


def _row(first: Figure, second: Figure, group: list[Figure]) -> Row:
    images = first.detail.images or 0
    answers = [unpacked(figure.detail.right or "", images).tolist() for figure in (first, second)]
    found = statistics.paired_test(*answers)
    names = [_name(figure, group) for figure in (first, second)]
    difference = 100 * (found.only_first - found.only_second) / images
    if found.p_value < LEVEL:
        verdict = f"{names[0] if difference > 0 else names[1]} is better"
    else:
        verdict = "no difference seen"
    row = measured_row(f"{names[0]} / {names[1]}", "", first)
    return replace(
        row,
        metric=f"{first.row}_paired",
        title=f"{row.title}, paired difference",
        unit="points",
        measured=f"{difference:+.2f} points (p = {found.p_value:.2g})",
        value=difference,
        low=None,
        high=None,
        verdict="not reported",
        detail=verdict,
        notes=(
            f"McNemar's exact test: of {images:,} pictures {found.only_first:,} were right with the first alone and "
            f"{found.only_second:,} with the second alone",
        ),
    )


def _name(figure: Figure, group: list[Figure]) -> str:
    """Return a subject's name, with the form or settings that distinguish it in the group."""
    others = [other for other in group if other.subject == figure.subject]
    parts = [
        figure.form if len({other.form for other in others}) > 1 else "",
        figure.settings.precision if len({other.settings.precision for other in others}) > 1 else "",
        figure.settings.mode if len({other.settings.mode for other in others}) > 1 else "",
    ]
    more = ", ".join(part for part in parts if part)
    return f"{figure.subject} ({more})" if more else figure.subject
