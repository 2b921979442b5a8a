"""Looks at every picture that a run names before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import Listener
from claimbench.bench.tasks.super_resolution.catalogue import DATASETS
from claimbench.bench.tasks.super_resolution.data import LargePicture, find, load, unused
from claimbench.bench.tasks.super_resolution.evaluate import scale_of

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job


def _same(found: Sequence[LargePicture]) -> tuple[Path, Path] | None:
    """Return two large pictures whose files are the same, if any are."""
    seen: dict[str, Path] = {}
    for pair in found:
        first = seen.setdefault(digest(pair.high), pair.high)
        if first != pair.high:
            return first, pair.high
    return None


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Read all pictures of the jobs' sets and return the remarks for the user about sets that pass.

    Raises:
        UserError: a picture is missing, damaged, too small, of the wrong size, or there under two names.
    """
    notes, seen = [], set()
    for job in jobs:
        asked = (job.options.dataset, job.options.data or "", scale_of(job), job.options.partial)
        if asked in seen:
            continue
        seen.add(asked)
        name, data, scale, partial = asked
        found = find(DATASETS[name], data, scale, partial)
        with listener.begin(f"checking {DATASETS[name].title}") as part:
            for done, pair in enumerate(found):
                part.at(done, len(found))
                load(pair, scale)
            part.at(len(found), len(found))
        if same := _same(found):
            raise UserError(
                f"{same[0]} and {same[1]} are one and the same picture: {DATASETS[name].title} has no two alike"
            )
        if others := unused(DATASETS[name], data, scale):
            notes.append(
                f"{DATASETS[name].title}: small pictures for x{scale} are made by bicubic interpolation; those in "
                f"{', '.join(others)} are not read (they are looked for in LR_bicubic/X{scale})"
            )
        if len(found) < DATASETS[name].images:
            notes.append(f"{DATASETS[name].title}: {len(found)} of its {DATASETS[name].images} pictures are there")
    return notes
