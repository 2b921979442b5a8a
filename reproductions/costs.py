"""Counts, times and memory of single modules and their growth, for the experiments behind the claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import log
from statistics import linear_regression, median
from time import perf_counter
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from claimbench.kernels import backend

__all__ = [
    "GLOBAL_SIDES",
    "HOW_GROWN",
    "LOCAL_SIDES",
    "growth",
    "growths",
    "macs",
    "one_thread",
    "parameters",
    "peak_memory",
    "stand_in_for_gpu",
    "time_growth",
    "times",
]

LEAST_S = 2e-3
"""Times below this, in seconds, are left out of a growth: fixed costs of a call are a large part of them."""

LEAST_SIZES = 3
"""The number of sizes that a growth of times needs."""

LOCAL_SIDES, GLOBAL_SIDES = (56, 80, 112, 160, 224), (28, 40, 56, 80)
"""Sides of the maps on which layers of linear and of quadratic cost are compared."""

HOW_GROWN = (
    "One layer without gradients: memory is that of tensors between operators, time that of one CPU core, which "
    "decides nothing where no power of the size fits it."
)
"""The method of :func:`growths` in the limits of a claim."""

STRAY = 1.3
"""The largest factor between a time and the fitted power at which the growth counts as measured."""


def parameters(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module, *shapes: tuple[int, ...], call: Callable[..., Tensor] | None = None) -> int:
    """Return the multiply-accumulates of a forward pass, counted on the paper's definition of the module.

    Args:
        module: is moved to the meta device, on which nothing is computed.
        shapes: the shape of each input; all inputs are floating point.
        call: the function to run on the inputs in place of the module.
    """
    module.to("meta").eval()
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    with torch.no_grad(), backend.use("reference"), FlopCounterMode(display=False) as counter:
        (call or module)(*inputs)
    return counter.get_total_flops() // 2


def growth(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the exponent of an exact cost as a power of the size, between the last two sizes; 1 is linear."""
    return log(costs[-1] / costs[-2]) / log(sizes[-1] / sizes[-2])


def time_growth(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Return the exponent of the power of the size that fits the times best; None if the times do not decide it.

    Times below ``LEAST_S`` are left out. At least ``LEAST_SIZES`` must remain, each within ``STRAY`` of the power.
    """
    pairs = [(log(size), log(each)) for size, each in zip(sizes, seconds, strict=True) if each >= LEAST_S]
    if len(pairs) < LEAST_SIZES:
        return None
    slope, start = linear_regression(*zip(*pairs, strict=True))
    strays = max(abs(each - start - slope * size) for size, each in pairs) > log(STRAY)
    return None if strays else slope


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: several wait for each other, so that the load of the machine would be in their times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def stand_in_for_gpu() -> str:
    """Return the words for a claim's ``stand_in`` if this machine has no GPU; empty if it has one."""
    return "" if torch.cuda.is_available() else "on a CPU"


def growths(make: Callable[[], nn.Module], shapes: Mapping[int, tuple[int, ...]]) -> dict[str, float | None]:
    """Return the exponents with which MACs, memory and CPU time of a layer grow with the size of its input.

    :data:`HOW_GROWN` describes the method.

    Args:
        make: returns the layer.
        shapes: the shape of the input by its size, for example the number of positions, in ascending order.
    """
    sizes = tuple(shapes)
    work = [float(macs(make(), shape)) for shape in shapes.values()]
    layer = make().eval()
    runs = {str(size): partial(layer, torch.randn(shape)) for size, shape in shapes.items()}
    with one_thread():
        seconds = times(runs)
    return {
        "MACs": growth(sizes, work),
        "memory": growth(sizes, [float(peak_memory(run)) for run in runs.values()]),
        "time": time_growth(sizes, list(seconds.values())),
    }


@torch.no_grad()
def times(runs: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Return the median wall-clock seconds of each run; the runs take turns, and a first round warms up."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            start = perf_counter()
            run()
            if i:
                samples[name].append(perf_counter() - start)
    return {name: median(each) for name, each in samples.items()}


@torch.no_grad()
def peak_memory(run: Callable[[], object]) -> int:
    """Return the largest number of bytes in the tensors that a run makes and that are alive at one time.

    Inputs and parameters do not count, nor does what a single operator uses inside: PyTorch's fused attention is one.
    """
    with _LiveTensors() as live:
        run()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Follows the storages that operators allocate until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator; storages that its inputs bring along are not the run's own."""
        self._add((args, kwargs), own=False)
        out = func(*args, **(kwargs or {}))
        self._add(out, own=True)
        return out

    def _add(self, values: object, own: bool) -> None:
        for tensor in tree_leaves(values):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._known:
                size = storage.nbytes() if own else 0
                self._known.add(key)
                self._bytes += size
                self.peak = max(self.peak, self._bytes)
                finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._bytes -= size
