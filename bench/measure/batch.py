"""The batch that gives the most images a second, found by search."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from claimbench.bench.core.errors import out_of_memory
from claimbench.bench.core.statistics import median
from claimbench.bench.core.task import Subject
from claimbench.bench.machine.clock import clock_for
from claimbench.bench.measure.steps import gradients, make_steps
from claimbench.bench.store.evidence.of_models import TriedBatch

CPU_BATCHES = (1, 4, 8, 16, 32)
GPU_BATCHES = tuple(2**n for n in range(3, 14))

GAIN = 0.02
"""A larger batch must be faster by this much to be worth its memory."""


def find_batch(subject: Subject, *, training: bool, seconds: float) -> tuple[int, list[TriedBatch]]:
    """Return the best batch and everything tried.

    Tries larger and larger batches in eager mode until two in a row bring less than 2 %, memory ends, or the next
    would take longer than the rest of ``seconds``.

    Raises:
        MemoryError: not even the smallest batch fits.
    """
    plain = replace(subject, mode="eager")
    tried: list[TriedBatch] = []
    best, best_rate, without_gain, start = 0, 0.0, 0, time.monotonic()
    for batch in GPU_BATCHES if subject.device.type == "cuda" else CPU_BATCHES:
        expected = 4 * batch / best_rate if best_rate else 0.0
        if expected > seconds - (time.monotonic() - start):
            tried.append(TriedBatch(batch=batch, stopped="it would take too long to try"))
            break
        subject.listener.at(0, None, f"trying batch {batch}")
        rate = _images_per_second(plain, batch, training)
        if rate is None:
            tried.append(TriedBatch(batch=batch, stopped="it does not fit in memory"))
            break
        tried.append(TriedBatch(batch=batch, img_s=rate))
        if rate > best_rate * (1 + GAIN):
            best, best_rate, without_gain = batch, rate, 0
        else:
            without_gain += 1
            if without_gain == 2:
                break
    if not best:
        raise MemoryError
    return best, tried


def _images_per_second(subject: Subject, batch: int, training: bool) -> float | None:
    """Return the rate from the median of three steps after one to warm up; None if memory runs out."""
    try:
        with gradients(training):
            (step,) = make_steps(subject, batch, training=training, inputs=1)
            clock = clock_for(subject.device)
            clock.measure(step, 1, 1)
            return batch / median(clock.measure(step, 1, 3))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if subject.device.type == "cuda":
            torch.cuda.empty_cache()
        return None
