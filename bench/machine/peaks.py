"""The peak rates of a device, measured on the spot: the two ceilings of the roofline.

The roofline model: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import torch

_REPEATS = 7


@dataclass(frozen=True)
class Peaks:
    """The ceilings of a device for one dtype.

    Attributes:
        flops: FLOP/s of a large square matrix product, the fastest of several.
        bytes: B/s of a large copy or ``a = b + s * c`` (the triad), the fastest of several; bytes read plus bytes
            written by the program, without the bytes that a cache fetches on its own account.
        method: of their measurement, one phrase.
    """

    flops: float
    bytes: float
    method: str

    def attainable_seconds(self, flops: int, moved: int) -> float:
        """Return the least time in which a kernel of ``flops`` FLOPs can move ``moved`` bytes."""
        return max(flops / self.flops, moved / self.bytes)

    def bound(self, flops: int, moved: int) -> str:
        """Return the ceiling that limits such a kernel: ``"compute"`` or ``"memory"``."""
        return "compute" if flops / self.flops > moved / self.bytes else "memory"


def measure_peaks(device: str, dtype: torch.dtype, side: int | None = None, megabytes: int | None = None) -> Peaks:
    """Measure the ceilings with torch's current number of threads.

    Half-precision kernels may calculate in float32, and on a CPU that can be the faster way; there the better of the
    two matrix products is the ceiling.

    Args:
        device: ``cpu`` or a CUDA device.
        dtype: of the matrices and of the buffers.
        side: rows and columns of the matrices; by default 1536 on a CPU, 8192 on a GPU.
        megabytes: size of each buffer, which should exceed the last cache; by default 256 on a CPU, 1024 on a GPU.
    """
    gpu = torch.device(device).type == "cuda"
    side = side or (8192 if gpu else 1536)
    megabytes = megabytes or (1024 if gpu else 256)
    multiplied = {dtype} if gpu else {dtype, dtype if dtype == torch.float64 else torch.float32}
    flops = max(_matmul_rate(device, each, side) for each in multiplied)
    threads = "" if gpu else f", {torch.get_num_threads()} threads"
    method = f"{side}x{side} matrix product; copy and triad of {megabytes} MB{threads}"
    return Peaks(flops, _memory_rate(device, dtype, megabytes), method)


def _matmul_rate(device: str, dtype: torch.dtype, side: int) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b, out=out), device)


def _memory_rate(device: str, dtype: torch.dtype, megabytes: int) -> float:
    size = megabytes * 2**20 // dtype.itemsize
    a, b, c = (torch.ones(size, dtype=dtype, device=device) for _ in range(3))
    copied = 2 * a.nbytes / _fastest(lambda: a.copy_(b), device)
    added = 3 * a.nbytes / _fastest(lambda: torch.add(b, c, alpha=3, out=a), device)
    return max(copied, added)


def _fastest(call: Callable[[], object], device: str) -> float:
    """Return the seconds of the fastest of several calls, after one to warm up."""
    call()
    if torch.device(device).type != "cuda":
        times = []
        for _ in range(_REPEATS):
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
        return min(times)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(_REPEATS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        call()
        mark.record()
    torch.cuda.synchronize(device)
    return min(a.elapsed_time(b) for a, b in pairwise(marks)) / 1000
