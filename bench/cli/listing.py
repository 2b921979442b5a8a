"""The list of papers, printed with the standard library alone: everything else takes longer to load than the papers."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.papers.registry import PaperEntry


def print_list(*, json: bool = False, check: bool = False) -> None:
    """Print every paper with its variants, or what is wrong with it.

    Args:
        json: whether to print JSON.
        check: whether to validate each ``paper.yaml`` in full.
    """
    found = registry.checked() if check else list(registry.entries().values())
    if json:
        from json import dumps

        print(dumps([{**vars(entry), "folder": str(entry.folder)} for entry in found], indent=2))
    elif found:
        _print_table(found)
    else:
        print("no papers were found: `bench doctor` says where they are looked for")


def _print_table(found: list[PaperEntry]) -> None:
    rows = [("Paper", "Venue", "Task", "Variants"), *(_cells(entry) for entry in found)]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    left = max(30, shutil.get_terminal_size((140, 24)).columns - sum(widths))
    for *short, long in rows:
        first, *more = textwrap.wrap(long, left) or [""]
        print("".join(text.ljust(width) for text, width in zip(short, widths, strict=True)) + first)
        for line in more:
            print(" " * sum(widths) + line)


def _cells(entry: PaperEntry) -> tuple[str, str, str, str]:
    if entry.problem:
        return entry.id, "BROKEN", "", entry.problem
    return entry.id, entry.venue, entry.task, ", ".join(entry.variants)
