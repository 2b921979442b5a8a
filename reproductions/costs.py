"""Counts and times of single modules, for the experiments behind the claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from claimbench.kernels import backend

__all__ = ["growth", "macs", "parameters", "times"]


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


def growth(sizes: tuple[int, ...], costs: tuple[float, ...]) -> float:
    """Return the exponent of the cost as a power of the size, between the last two sizes; 1 is linear."""
    return log(costs[-1] / costs[-2]) / log(sizes[-1] / sizes[-2])


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
