"""Timing: warm up until steady, then sample until the median is known to one per cent or time is up."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from math import ceil

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Job
from claimbench.bench.core.statistics import median, median_interval, percentiles, relative_halfwidth
from claimbench.bench.core.text import several
from claimbench.bench.machine.clock import Clock, Step
from claimbench.bench.machine.load import Machine, MachineReport, disturbances
from claimbench.bench.store.evidence.fields import Stop
from claimbench.bench.store.evidence.of_models import Flushed, TimeEvidence, TriedBatch, WarmUp

CHUNK_S = 0.2
"""Throttling is looked at after this much sampling; a chunk that was throttled is void."""


@dataclass(frozen=True)
class Effort:
    """The limits of a timing.

    Attributes:
        budget_s: at most this much sampling.
        least_s: at least this much sampling, so that slow drifts show.
        warmup_s: at most this much warming up.
        samples: at least this many samples, unless one step takes very long.
        precision: the half-width of the median's 95 % interval to reach, relative.
        sample_s: the shortest sample; quicker steps are repeated inside one.
        quick: whether the user asked for less effort.
    """

    budget_s: float = 10.0
    least_s: float = 1.0
    warmup_s: float = 10.0
    samples: int = 10
    precision: float = 0.01
    sample_s: float = 1e-3
    quick: bool = False


QUICK = Effort(budget_s=1.5, least_s=0.2, warmup_s=1.5, samples=6, quick=True)

FEWEST = 3
"""However long a step takes, this many samples are taken."""

WINDOW = 5
"""Samples in a window of the warm-up."""


@dataclass(frozen=True)
class Timing:
    """Samples with their evidence.

    Attributes:
        samples: seconds a step, in the order taken, void ones left out.
        loops: steps inside one sample.
        stop: ``interval`` (the median is known well enough) or ``budget`` (time was up).
        void: samples thrown away because the machine was throttled.
        warmup: see :class:`~claimbench.bench.store.evidence.of_models.WarmUp`.
        machine: see :class:`~claimbench.bench.machine.load.MachineReport`.
        noisy: reasons that the figure is less certain than its interval; empty if there are none.
        method: the clock's.
        effort: see :class:`Effort`.
    """

    samples: tuple[float, ...]
    loops: int
    stop: Stop
    void: int
    warmup: WarmUp
    machine: MachineReport
    noisy: tuple[str, ...]
    method: str
    effort: Effort

    def median(self) -> float:
        """Return the median of the samples in seconds."""
        return median(self.samples)

    def interval(self) -> tuple[float | None, float | None]:
        """Return the 95 % interval of the median in seconds; (None, None) with too few samples."""
        return median_interval(self.samples) or (None, None)

    def evidence(
        self, batch: int, tried: list[TriedBatch] | None = None, flushed: Flushed | None = None
    ) -> TimeEvidence:
        """Return the evidence; the samples have a place of their own in the record.

        Args:
            batch: inputs a step.
            tried: the search that found the batch, if there was one.
            flushed: a second series, if it was taken.
        """
        return TimeEvidence(
            batch=batch,
            stop=self.stop,
            quick=self.effort.quick,
            noisy=bool(self.noisy),
            noisy_reasons=list(self.noisy),
            samples=len(self.samples),
            void_samples=self.void,
            inner_loops=self.loops,
            halfwidth=relative_halfwidth(self.samples),
            percentiles_s=percentiles(self.samples) if self.loops == 1 else {},
            warmup=self.warmup,
            budget_s=self.effort.budget_s,
            machine=self.machine,
            batch_search=tried,
            l2_flushed=flushed,
        )


class ThrottledError(Exception):
    """Raised if every sample was taken while the machine was throttled."""


def effort_for(job: Job) -> Effort:
    """Return the effort that the job's settings and its option ``budget_s`` ask for."""
    base = QUICK if job.settings.quick else Effort()
    budget = base.budget_s if job.options.budget_s is None else job.options.budget_s
    least, warmup = min(base.least_s, budget), min(base.warmup_s, budget)
    return Effort(**{**asdict(base), "budget_s": budget, "least_s": least, "warmup_s": warmup})


def time_steps(
    steps: Sequence[Step], clock: Clock, machine: Machine, effort: Effort, listener: Listener = SILENT
) -> Timing:
    """Time ``steps`` in turns (the same work on different inputs), and tell a listener how far that is.

    Raises:
        ThrottledError: no sample is left.
    """
    turns = cycle(steps)
    step: Step = lambda: next(turns)()  # noqa: E731 - a step of this loop, not a function with a name
    machine.start()
    warmup, seconds = warm_up(step, clock, effort, listener)
    loops = max(1, ceil(effort.sample_s / max(seconds, 1e-9)))
    with _no_garbage_collection():
        samples, void, stop = _collect(step, clock, machine, effort, loops, seconds, listener)
    report = machine.finish()
    if not samples:
        raise ThrottledError(f"the machine was throttled during all {void} samples: cool it down or lift its quota")
    halfwidth = relative_halfwidth(samples)
    noisy = disturbances(report)
    if stop == "budget":
        width = "has no interval" if halfwidth is None else f"is known to {halfwidth:.1%} only"
        noisy.append(f"time was up while the median {width}")
    if not warmup.settled:
        noisy.append("times had not settled after the warm-up")
    if void:
        noisy.append(f"{void} samples are void because the machine was throttled")
    return Timing(tuple(samples), loops, stop, void, warmup, report, tuple(noisy), clock.method, effort)


def warm_up(step: Step, clock: Clock, effort: Effort, listener: Listener = SILENT) -> tuple[WarmUp, float]:
    """Run until the median of a window moves by less than 1 % from the one before; also return the last median."""
    start = time.monotonic()
    first = clock.measure(step, 1, 1)[0]
    listener.at(0, None, "warming up")
    previous, windows = clock.measure(step, 1, 1)[0], 0
    while time.monotonic() - start < effort.warmup_s:
        loops = max(1, ceil(effort.sample_s / max(previous, 1e-9)))
        now = median(clock.measure(step, loops, WINDOW if previous < 1 else 1))
        windows += 1
        if abs(now - previous) < 0.01 * previous:
            return _warm(True, windows, start, first), now
        previous = now
    return _warm(False, windows, start, first), previous


def _warm(settled: bool, windows: int, start: float, first: float) -> WarmUp:
    return WarmUp(settled=settled, windows=windows, seconds=time.monotonic() - start, first_call_s=first)


def _collect(
    step: Step, clock: Clock, machine: Machine, effort: Effort, loops: int, seconds: float, listener: Listener
) -> tuple[list[float], int, Stop]:
    """Sample until the interval is narrow enough or the budget is spent; return samples, void ones and which."""
    chunk = max(1, min(200, int(CHUNK_S / max(seconds * loops, 1e-9))))
    samples: list[float] = []
    void, start = 0, time.monotonic()
    while True:
        before = machine.throttle_count()
        new = clock.measure(step, loops, chunk)
        if machine.throttled_since(before):
            void += len(new)
        else:
            samples += new
        listener.at(len(samples), None, several(len(samples), "sample", "samples"))
        spent = time.monotonic() - start
        enough = len(samples) >= effort.samples and spent >= effort.least_s
        if enough and (relative_halfwidth(samples) or 0.0) <= effort.precision:
            return samples, void, "interval"
        if spent >= effort.budget_s and len(samples) + void >= FEWEST:
            return samples, void, "budget"


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python's garbage collector from running inside a sample."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
