"""Latency: the time of one batch (one input, unless asked otherwise) from call to result."""

from __future__ import annotations

from dataclasses import replace

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.machine.clock import clock_for
from claimbench.bench.machine.load import Machine
from claimbench.bench.measure.steps import gradients, make_steps
from claimbench.bench.measure.timing import effort_for, time_steps

SINGLE_CALL_S = 1e-5
"""Calls longer than this are samples of their own: means of several calls would hide the slow ones."""


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Time single calls, each begun when the one before is done; ``detail`` has percentiles if samples suffice."""
    settings = job.settings
    batch = settings.batch or 1
    with gradients(settings.training):
        steps = make_steps(subject, batch, training=settings.training)
        clock = clock_for(subject.device, synchronize=True)
        effort = replace(effort_for(job), sample_s=SINGLE_CALL_S)
        timing = time_steps(steps, clock, Machine(settings.device), effort, subject.listener)
    low, high = timing.interval()
    return [
        Measurement(
            metric="latency",
            value=timing.median(),
            unit="s",
            method=f"median time of a call, {subject.mode}, {timing.method}",
            low=low,
            high=high,
            samples=timing.samples,
            detail=timing.evidence(batch).to_detail(),
        )
    ]
