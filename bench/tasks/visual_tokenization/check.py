"""Looks at every example that a run names before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.tasks.visual_tokenization.catalogue import DATASETS
from claimbench.bench.tasks.visual_tokenization.data import find, frames, voxels
from claimbench.bench.tasks.visual_tokenization.score import SIDE

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Read all examples of the jobs' sets.

    Raises:
        UserError: one is missing, damaged or too small to be scored.
    """
    for name, place in dict.fromkeys((job.options.dataset, job.options.data or "") for job in jobs):
        dataset = DATASETS[name]
        found = find(dataset, place)
        with listener.begin(f"checking {dataset.title}") as part:
            for done, example in enumerate(found):
                part.at(done, len(found))
                if dataset.kind == "voxels":
                    voxels(example)
                    continue
                height, width = frames(dataset, example).shape[1:3]
                if min(height, width) < SIDE:
                    raise UserError(f"{example.files[0]} has {width}x{height} pixels: scoring takes {SIDE} a side")
            part.at(len(found), len(found))
    return []
