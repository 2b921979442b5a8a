"""Energy: joules an input, from the counters of the GPU or of the processor package."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.quantities import sampled
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.machine import nvml
from claimbench.bench.machine.clock import clock_for
from claimbench.bench.machine.load import Machine, disturbances
from claimbench.bench.measure.batch import find_batch
from claimbench.bench.measure.steps import gradients, make_steps
from claimbench.bench.measure.timing import effort_for, warm_up
from claimbench.bench.store.evidence.of_models import EnergyEvidence

LEAST_S = 3.0
"""Counters advance every few dozen milliseconds; this long makes that a per cent or less."""

RAPL = Path("/sys/class/powercap")


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Run batches for some seconds and divide the counter's advance by the inputs; idle power is included.

    Raises:
        UnavailableError: this device has no counter that can be read.
    """
    settings, effort = job.settings, effort_for(job)
    read, source = counter(subject.device)
    batch = settings.batch or job.options.batch
    if batch is None:
        batch, _ = find_batch(subject, training=settings.training, seconds=2 * effort.budget_s)
    machine = Machine(settings.device)
    with gradients(settings.training):
        turns = cycle(make_steps(subject, batch, training=settings.training))
        clock = clock_for(subject.device)
        _, step_s = warm_up(lambda: next(turns)(), clock, effort, subject.listener)
        subject.listener.at(0, None, "measuring")
        count = max(1, round(0.2 / max(step_s, 1e-9)))
        machine.start()
        steps, start, before = 0, time.monotonic(), read()
        while time.monotonic() - start < max(LEAST_S, effort.budget_s):
            clock.measure(lambda: next(turns)(), 1, count)
            steps += count
        joules, seconds = read() - before, time.monotonic() - start
    if joules <= 0:
        raise UnavailableError(f"the energy counter ({source}) did not advance in {seconds:.0f} s")
    report = machine.finish()
    evidence = EnergyEvidence(
        batch=batch,
        images=steps * batch,
        joules=joules,
        seconds=seconds,
        mean_power_w=joules / seconds,
        quick=settings.quick,
        noisy_reasons=disturbances(report),
        machine=report,
    )
    unit, method = sampled("J/img", subject.task.sample), f"{source} over {seconds:.0f} s"
    return [Measurement("energy", joules / (steps * batch), unit, method, detail=evidence.to_detail())]


def counter(device: torch.device) -> tuple[Callable[[], float], str]:
    """Return a function that reads joules and the name of its counter.

    Raises:
        UnavailableError: there is none, or it may not be read. The message tells the two apart.
    """
    if device.type == "cuda":
        gpu = nvml.open_gpu(str(device))
        if isinstance(gpu, str):
            raise UnavailableError(gpu)
        if gpu.energy_joules() is None:
            raise UnavailableError("this GPU has no energy counter")
        return lambda: gpu.energy_joules() or 0.0, "NVML total energy counter"
    packages = sorted(RAPL.glob("intel-rapl:[0-9]*"))
    packages = [p for p in packages if p.name.count(":") == 1]
    if not packages:
        raise UnavailableError("this processor has no energy counter that the system shows (RAPL)")
    try:
        meters = [_Package(p) for p in packages]
    except OSError as error:
        raise UnavailableError(f"the processor's energy counter may not be read ({error.strerror})") from error
    return lambda: sum(meter.joules() for meter in meters), "RAPL package counters"


class _Package:
    """One processor package's counter, which starts again from zero when it is full."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._size = int((folder / "max_energy_range_uj").read_text())
        self._last, self._total = int(self._file.read_text()), 0

    def joules(self) -> float:
        now = int(self._file.read_text())
        self._total += (now - self._last) % (self._size + 1)
        self._last = now
        return self._total / 1e6
