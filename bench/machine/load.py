"""Watches the machine around a measurement: load, clocks, throttling and the share of other processes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
from pydantic import BaseModel, ConfigDict, Field

from claimbench.bench.machine import nvml

OTHERS_CORES = 0.2
"""A measurement is noisy if other processes used more than this many cores on average."""

STOLEN = 0.02
"""A measurement is noisy if the hypervisor took more than this share of the processors' time."""

_THERMAL = "cpu*/thermal_throttle/*_throttle_count"
_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.stat")


class _Seen(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class GpuState(_Seen):
    """The parts of :meth:`claimbench.bench.machine.nvml.NvmlDevice.state` that are read here; the rest is kept."""

    sm_mhz: int | None = None
    other_processes: Annotated[int, Field(ge=0)] = 0


class MachineState(_Seen):
    """Load average, clock and throttling of the processor, and the state of the GPU if it is one that measures."""

    load_average: float | None = None
    cpu_mhz: int | None = None
    throttle_count: int | None = None
    gpu: GpuState | None


class MachineReport(_Seen):
    """The machine during a measurement.

    Attributes:
        before, after: its states.
        others_cores: the time of all other processes, in cores.
        stolen: the share of processor time that a hypervisor gave to other machines.
        seconds: the duration of the watch.
    """

    before: MachineState
    after: MachineState
    others_cores: Annotated[float, Field(ge=0)]
    stolen: float
    seconds: Annotated[float, Field(gt=0)]


class Machine:
    """The machine under a measurement on ``device``, between :meth:`start` and :meth:`finish`."""

    def __init__(self, device: str) -> None:
        found = nvml.open_gpu(device) if device.startswith("cuda") else None
        self.gpu = found if isinstance(found, nvml.NvmlDevice) else None
        self._process = psutil.Process()
        self._thermal = sorted(_CPUS.glob(_THERMAL))

    def start(self) -> None:
        """Note the state before."""
        self._before, self._times, self._own = self.state(), psutil.cpu_times(), self._own_seconds()
        self._clock = time.monotonic()

    def finish(self) -> MachineReport:
        """Return the states before and after, and the use by others in between."""
        seconds = max(time.monotonic() - self._clock, 1e-9)
        now, cores = psutil.cpu_times(), psutil.cpu_count() or 1
        busy, stolen = _busy(now) - _busy(self._times), _steal(now) - _steal(self._times)
        others = max(busy - (self._own_seconds() - self._own), 0.0)
        return MachineReport(
            before=self._before,
            after=self.state(),
            others_cores=round(others / seconds, 3),
            stolen=round(stolen / seconds / cores, 4),
            seconds=max(round(seconds, 3), 1e-3),
        )

    def state(self) -> MachineState:
        """Return load average, clocks and, on a GPU, temperature, throttling and other processes."""
        frequency = None
        with suppress(OSError, NotImplementedError, AttributeError):
            frequency = psutil.cpu_freq()
        return MachineState(
            load_average=round(os.getloadavg()[0], 2),
            cpu_mhz=round(frequency.current) if frequency else None,
            throttle_count=self.throttle_count(),
            gpu=GpuState.model_validate(self.gpu.state()) if self.gpu else None,
        )

    def throttle_count(self) -> int:
        """Return the number of times since boot that heat slowed down processors or a quota held back this process."""
        total = 0
        for path in self._thermal:
            with suppress(OSError, ValueError):
                total += int(path.read_text())
        with suppress(OSError, ValueError):
            for line in _QUOTA.read_text().splitlines():
                if line.startswith("nr_throttled "):
                    total += int(line.split()[1])
        return total

    def throttled_since(self, count: int) -> bool:
        """Whether anything was throttled since :meth:`throttle_count` gave ``count``, or the GPU is now."""
        return self.throttle_count() != count or (self.gpu is not None and self.gpu.throttled())

    def _own_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)


def disturbances(report: MachineReport) -> list[str]:
    """Return the reasons that a measurement on the machine in this condition is noisy, one phrase each."""
    found = []
    if report.others_cores > OTHERS_CORES:
        found.append(f"other processes used {report.others_cores:.1f} cores")
    if report.stolen > STOLEN:
        found.append(f"the hypervisor took {report.stolen:.0%} of the processors")
    others = max(state.gpu.other_processes if state.gpu else 0 for state in (report.before, report.after))
    if others:
        found.append(f"{others} other processes on the GPU")
    return found


def _busy(times: Any) -> float:
    names = ("user", "nice", "system", "irq", "softirq")
    return sum(getattr(times, name, 0.0) for name in names)


def _steal(times: Any) -> float:
    return float(getattr(times, "steal", 0.0))
