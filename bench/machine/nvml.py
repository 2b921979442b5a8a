"""The state of an NVIDIA GPU, from NVML: name, clocks, temperature, throttling, energy and other users."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Reasons (NVML's clock event bits) for which samples are void."""

LIMITED = {0x02: "application clocks", 0x04: "power cap", 0x10: "sync boost"}
"""Reasons that hold for whole runs and are noted only: a GPU under full load sits at its power cap."""


@dataclass(frozen=True)
class NvmlDevice:
    """One GPU, opened through NVML."""

    nvml: Any
    handle: Any

    def _read(self, call: str, *args: Any) -> Any:
        """Return the result of an NVML call, or None if this GPU or driver does not support it."""
        try:
            return getattr(self.nvml, call)(self.handle, *args)
        except (self.nvml.NVMLError, AttributeError):
            return None

    def name(self) -> str:
        """Return the product name, for example ``NVIDIA H200``."""
        found = self._read("nvmlDeviceGetName")
        return found.decode() if isinstance(found, bytes) else str(found or "unknown NVIDIA GPU")

    def description(self) -> dict[str, Any]:
        """Return the facts that do not change between runs: memory, largest clocks, power limit, driver."""
        memory = self._read("nvmlDeviceGetMemoryInfo")
        return {
            "name": self.name(),
            "memory_bytes": None if memory is None else int(memory.total),
            "max_sm_mhz": self._read("nvmlDeviceGetMaxClockInfo", self.nvml.NVML_CLOCK_SM),
            "max_memory_mhz": self._read("nvmlDeviceGetMaxClockInfo", self.nvml.NVML_CLOCK_MEM),
            "power_limit_w": _divide(self._read("nvmlDeviceGetEnforcedPowerLimit"), 1000),
            "driver": _text(self.nvml.nvmlSystemGetDriverVersion()),
        }

    def state(self) -> dict[str, Any]:
        """Return the current state: clocks, temperature, power, reasons for low clocks, memory, other processes."""
        reasons = self.reasons()
        memory = self._read("nvmlDeviceGetMemoryInfo")
        return {
            "sm_mhz": self._read("nvmlDeviceGetClockInfo", self.nvml.NVML_CLOCK_SM),
            "memory_mhz": self._read("nvmlDeviceGetClockInfo", self.nvml.NVML_CLOCK_MEM),
            "temperature_c": self._read("nvmlDeviceGetTemperature", self.nvml.NVML_TEMPERATURE_GPU),
            "power_w": _divide(self._read("nvmlDeviceGetPowerUsage"), 1000),
            "throttled": [text for bit, text in THROTTLING.items() if reasons & bit],
            "limited": [text for bit, text in LIMITED.items() if reasons & bit],
            "memory_used_bytes": None if memory is None else int(memory.used),
            "other_processes": self.other_processes(),
        }

    def reasons(self) -> int:
        """Return the bits of the reasons that hold the clocks below their highest."""
        for call in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            bits = self._read(call)
            if bits is not None:
                return int(bits)
        return 0

    def throttled(self) -> bool:
        """Whether the GPU is slowed down by heat or by a power brake now."""
        return any(self.reasons() & bit for bit in THROTTLING)

    def other_processes(self) -> int:
        """Return the number of other processes that compute on this GPU."""
        processes = self._read("nvmlDeviceGetComputeRunningProcesses") or []
        return sum(process.pid != os.getpid() for process in processes)

    def energy_joules(self) -> float | None:
        """Return the energy used since the driver was loaded, or None if the GPU has no counter."""
        return _divide(self._read("nvmlDeviceGetTotalEnergyConsumption"), 1000)


def open_gpu(device: str) -> NvmlDevice | str:
    """Return the GPU behind ``cuda`` or ``cuda:<index>``, or why NVML cannot reach it, as a sentence."""
    try:
        import pynvml
    except ImportError:
        return "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
        return NvmlDevice(pynvml, _handle(pynvml, _index(device)))
    except pynvml.NVMLError as error:
        return f"NVML cannot reach {device} ({error})"


def _index(device: str) -> int:
    _, _, index = device.partition(":")
    return int(index or 0)


def _handle(nvml: Any, index: int) -> Any:
    """Return NVML's handle: CUDA numbers only the visible devices, NVML all of them."""
    visible = [v.strip() for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v.strip()]
    by_index: Callable[[int], Any] = nvml.nvmlDeviceGetHandleByIndex
    if index >= len(visible):
        return by_index(index)
    chosen = visible[index]
    return by_index(int(chosen)) if chosen.isdigit() else nvml.nvmlDeviceGetHandleByUUID(chosen)


def _divide(value: Any, by: float) -> float | None:
    return None if value is None else value / by


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
