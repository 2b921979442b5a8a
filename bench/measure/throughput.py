"""Throughput: inputs a second at a given batch, or at the best one found."""

from __future__ import annotations

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.machine.clock import clock_for
from claimbench.bench.machine.load import Machine
from claimbench.bench.measure.batch import find_batch
from claimbench.bench.measure.steps import gradients, make_steps
from claimbench.bench.measure.timing import effort_for, time_steps
from claimbench.bench.store.evidence.of_models import Flushed


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Time batches; ``samples`` are seconds a batch, the batch is in ``detail``.

    With ``training`` the step is forward, backward and SGD. On a GPU the samples leave the L2 cache as it is, and
    ``detail`` holds a second series with the cache flushed.
    """
    settings, effort = job.settings, effort_for(job)
    tried = flushed = None
    batch = settings.batch or job.options.batch
    if batch is None:
        batch, tried = find_batch(subject, training=settings.training, seconds=2 * effort.budget_s)
    machine = Machine(settings.device)
    with gradients(settings.training):
        steps = make_steps(subject, batch, training=settings.training)
        timing = time_steps(steps, clock_for(subject.device), machine, effort, subject.listener)
        if subject.device.type == "cuda":
            again = time_steps(steps, clock_for(subject.device, flush=True), machine, effort, subject.listener)
            flushed = Flushed(img_s=batch / again.median(), samples_s=list(again.samples))
    low, high = timing.interval()
    what = "training steps" if settings.training else "forward passes"
    return [
        Measurement(
            metric="throughput",
            value=batch / timing.median(),
            unit=f"{subject.task.sample}/s",
            method=f"batch / median time of {what}, {subject.mode}, {timing.method}",
            low=None if high is None else batch / high,
            high=None if low is None else batch / low,
            samples=timing.samples,
            detail=timing.evidence(batch, tried, flushed).to_detail(),
        )
    ]
