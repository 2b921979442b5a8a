"""Checks before any measurement: the files of actions that jobs name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.tasks.sequential_recommendation.catalogue import DATASETS, DEFAULT
from claimbench.bench.tasks.sequential_recommendation.data import find
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import CUT, NEGATIVES


def check(jobs: Sequence[Job], listener: Listener) -> list[str]:
    """Read each file once, and return the remarks for the user about files that pass.

    Raises:
        UserError: a file is not as expected; one sentence.
    """
    notes = []
    for name, given in dict.fromkeys((job.options.dataset or DEFAULT, job.options.data) for job in jobs):
        if given and name in DATASETS:
            with listener.begin(f"checking {DATASETS[name].title}"):
                notes += few_items(find(DATASETS[name], Path(given)))
    return notes


def few_items(split: Split) -> list[str]:
    """Return a remark if there are so few items that the ranks among drawn ones mean little."""
    if split.data.items > NEGATIVES:
        return []
    return [
        f"{split.data.name} holds {split.data.items} items: {NEGATIVES} drawn negatives repeat them, and the first "
        f"{CUT} places are soon had; look at the rank among all items"
    ]
