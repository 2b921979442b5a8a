"""Clocks, which measure the time of a step on a CPU and on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

Step = Callable[[], object]


class Clock(Protocol):
    """Times steps."""

    method: str
    """The method of timing, one phrase."""

    def measure(self, step: Step, loops: int, count: int) -> list[float]:
        """Return ``count`` samples, each the mean of ``loops`` steps in a row, in seconds a step."""
        ...


class CpuClock:
    """Wall time of steps on the CPU."""

    method = "perf_counter"

    def measure(self, step: Step, loops: int, count: int) -> list[float]:
        """See :class:`Clock`."""
        samples = []
        for _ in range(count):
            start = time.perf_counter_ns()
            for _ in range(loops):
                step()
            samples.append((time.perf_counter_ns() - start) / 1e9 / loops)
        return samples


class CudaClock:
    """Time between two CUDA events around each sample.

    Args:
        device: the GPU.
        synchronize: wait for the GPU before each sample, so that a sample holds the launch of its work (latency);
            otherwise samples queue up behind each other, as in a loop over a data set (throughput).
        flush: overwrite the L2 cache before each sample.
    """

    def __init__(self, device: torch.device, *, synchronize: bool = False, flush: bool = False) -> None:
        self.device, self.synchronize = device, synchronize
        self._trash: torch.Tensor | None = None
        if flush:
            size = 2 * torch.cuda.get_device_properties(device).L2_cache_size
            self._trash = torch.empty(size, dtype=torch.int8, device=device)
        queue = "synchronised before each sample" if synchronize else "samples queued"
        self.method = f"CUDA events, {queue}, L2 cache {'flushed' if flush else 'not flushed'}"

    def measure(self, step: Step, loops: int, count: int) -> list[float]:
        """See :class:`Clock`."""
        pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
        torch.cuda.synchronize(self.device)
        for start, end in pairs:
            if self._trash is not None:
                self._trash.zero_()
            if self.synchronize:
                torch.cuda.synchronize(self.device)
            start.record()
            for _ in range(loops):
                step()
            end.record()
        torch.cuda.synchronize(self.device)
        return [start.elapsed_time(end) / 1e3 / loops for start, end in pairs]


def clock_for(device: torch.device, *, synchronize: bool = False, flush: bool = False) -> Clock:
    """Return the clock of ``device``; a CPU has nothing to synchronise and no flush."""
    if device.type == "cuda":
        return CudaClock(device, synchronize=synchronize, flush=flush)
    return CpuClock()
