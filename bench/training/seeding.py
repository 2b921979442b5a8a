"""Random draws that depend on their purpose and on nothing else: not on workers, processes or earlier draws.

Augmentation and mixing draw from the global generators of Python, NumPy and torch. Inside `drawing_for` these are
seeded from a key, for example (purpose, seed, epoch, position), and afterwards they are as they were. So the picture
at a place of an epoch is always the same, however the run is cut up or resumed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch

PICTURE, MIXING = 1, 2
"""The purpose of a draw: the first number of its key."""


@contextmanager
def drawing_for(*key: int) -> Iterator[None]:
    """Seed the global CPU generators from ``key`` (numbers from 0 on) inside the block; restore them afterwards."""
    before = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    words = numpy.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    numpy.random.seed(int(words[1]))
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(before[0])
        numpy.random.set_state(before[1])
        torch.set_rng_state(before[2])
