"""What the experiments behind claims count and time: modules of their own, outside any whole model."""

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
    """Return the multiply-accumulates of a forward pass on inputs of these shapes, as the paper defines the module.

    Args:
        module: moved to the meta device, where nothing is computed.
        shapes: of the inputs, all floating point.
        call: what to run on the inputs in place of the module.
    """
    module.to("meta").eval()
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    with torch.no_grad(), backend.use("reference"), FlopCounterMode(display=False) as counter:
        (call or module)(*inputs)
    return counter.get_total_flops() // 2


def growth(sizes: tuple[int, ...], costs: tuple[float, ...]) -> float:
    """Return the power of the size with which the cost grows between the last two sizes: 1 is linear."""
    return log(costs[-1] / costs[-2]) / log(sizes[-1] / sizes[-2])


@torch.no_grad()
def times(runs: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Return the median seconds of each run on this machine's CPU; the runs take turns, after one round to warm up."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            start = perf_counter()
            run()
            if i:
                samples[name].append(perf_counter() - start)
    return {name: median(each) for name, each in samples.items()}
