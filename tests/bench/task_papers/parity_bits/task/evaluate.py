"""The scores of a model on a file of words."""

import torch

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Measurement

from .catalogue import DATASETS
from .data import find
from .score import exact, gain


def measure(subject, job):
    if job.options.data is None:
        raise UnavailableError("needs a file of words: give it with --data")
    words = find(DATASETS[job.options.dataset], job.options.data)
    logits, odd = judged(subject.model, words)
    how = f"{len(words)} words"
    return [
        Measurement("parity_exact", exact(logits, odd), "%", how),
        Measurement("parity_gain", gain(logits, odd), "bits", how),
    ]


def judged(model, words):
    """Return what a model says of words (B, N), logits (B,), and whether their number of ones is odd (B,)."""
    with torch.no_grad():
        logits = model(words, torch.ones_like(words, dtype=torch.bool))["logits"]
    return logits, words.sum(1) % 2 == 1
