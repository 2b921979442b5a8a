"""The list of papers, a line each. Without stored records only the standard library is loaded."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from claimbench.bench.core.terminal import RESULTS, columns
from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.papers.registry import PaperEntry

NARROW = 16
"""Columns of a venue and of a task."""

WIDE = 80
"""Columns from which venues and tasks are shown."""


def print_list(
    names: tuple[str, ...] = (), *, results: Path = Path(RESULTS), json: bool = False, check: bool = False
) -> None:
    """Print every paper, or the variants of those named.

    Args:
        names: of papers; empty for a line on each.
        results: the folder of records.
        json: whether to print JSON.
        check: whether to validate each ``paper.yaml`` in full.
    """
    found = registry.checked() if check else list(registry.entries().values())
    if names:
        found = [registry.entry(name) for name in names]
    if json:
        from json import dumps

        print(dumps([{**vars(entry), "folder": str(entry.folder)} for entry in found], indent=2))
    elif names:
        for entry in found:
            _print_variants(entry)
    elif found:
        _print_table(found, _standing(results))
    else:
        print("no papers were found: `bench doctor` says where they are looked for")


def _standing(results: Path) -> Mapping[str, str]:
    """Return what the stored records say of each paper, in words."""
    if not (results / "records").is_dir():
        return {}
    from claimbench.bench.report.report import standing
    from claimbench.bench.store.store import Store

    return standing(Store(results))


def _print_table(found: list[PaperEntry], standing: Mapping[str, str]) -> None:
    titles = ("Paper", "Venue", "Task", "Models", "Printed figures")
    rows: list[tuple[str, ...]] = [titles, *(_cells(entry, standing) for entry in found)]
    if columns() < WIDE:
        rows = [(name, models, last) for name, _, _, models, last in rows]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    before = sum(widths) + 2 * len(widths)
    left = max(columns() - before, 20)
    for *short, last in rows:
        cells = [text.ljust(width) for text, width in zip(short, widths, strict=True)]
        first, *more = textwrap.wrap(last, left, break_long_words=False) or [""]
        print("  ".join([*cells, first]).rstrip())
        for line in more:
            print(" " * before + line)


def _cells(entry: PaperEntry, standing: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    if entry.problem:
        return entry.id, "BROKEN", "", "", entry.problem
    task = entry.task.replace("-", " ")
    task = task if len(task) <= NARROW else task.partition(" ")[2]
    venue = textwrap.shorten(registry.short_venue(entry.venue), NARROW, placeholder=" …")
    return entry.id, venue, task, str(len(entry.variants)), standing.get(entry.id, "not measured")


def _print_variants(entry: PaperEntry) -> None:
    print(
        textwrap.fill(
            f"{entry.id}: {entry.problem or entry.title}", columns(), subsequent_indent="  ", break_on_hyphens=False
        )
    )
    text = ", ".join(entry.variants)
    print(textwrap.fill(text, columns(), initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
