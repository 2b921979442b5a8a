"""The check before anything is measured: the words of each file."""

from .catalogue import DATASETS
from .data import find


def check(jobs, listener):
    notes = []
    for name, place in dict.fromkeys((job.options.dataset, job.options.data) for job in jobs):
        with listener.begin(f"checking {DATASETS[name].title}") as part:
            words = find(DATASETS[name], place)
            part.at(len(words), len(words))
        if len(words) < 3:
            notes.append(f"{place} holds {len(words)} words: a score on so few says little")
    return notes
