"""The high-water mark of this process's resident memory."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

from claimbench.bench.machine import heap
from claimbench.bench.machine.clock import Step

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Written to clear_refs, sets the peak to the memory that is resident now (man 5 proc)."""


class ResidentMeter:
    """The peak of the resident set above its size before.

    If the kernel lets a process reset its peak, each step has its own. Otherwise the peak is that of the whole process
    so far, and the memory of a step is known only if it exceeds all before it.
    """

    def __init__(self) -> None:
        self.resettable = self._reset()
        how = "VmHWM, reset before each step" if self.resettable else "ru_maxrss of the whole process"
        self.method = f"peak resident memory ({how}) above what was resident before"

    def peak(self, step: Step) -> int:
        """Return the bytes that ``step`` added at most; freed memory is given back to the system first."""
        gc.collect()
        heap.trim()
        self._reset()
        before = resident()
        step()
        return max((self._high() if self.resettable else _maximum()) - before, 0)

    def _reset(self) -> bool:
        try:
            _CLEAR.write_text(_RESET_PEAK)
        except OSError:
            return False
        return self._high() > 0

    @staticmethod
    def _high() -> int:
        return _status("VmHWM")


def resident() -> int:
    """Return the bytes that are resident now."""
    return _status("VmRSS") or _maximum()


def _status(name: str) -> int:
    """Return an entry of /proc/self/status in bytes, 0 if there is none."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _maximum() -> int:
    """Return the peak since the process began; macOS gives bytes, Linux KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
