"""The definition of focal modulation's context in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.focal_modulation.focal_modulation`.

    ``taps`` is (C, sum of k * k): the weights of all levels, each flattened, one after the other.
    """

    context: Tensor
    gates: Tensor
    taps: Tensor
    kernel_sizes: Sequence[int]


def level_weights(taps: Tensor, kernel_sizes: Sequence[int]) -> list[Tensor]:
    """Return the weights (C, 1, k, k) of the levels, views of their ``taps`` (C, sum of k * k)."""
    parts = taps.split([size**2 for size in kernel_sizes], dim=1)
    return [part.unflatten(1, (1, size, size)) for part, size in zip(parts, kernel_sizes, strict=True)]


def focal_modulation(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.focal_modulation.focal_modulation`."""
    context, gates, taps, kernel_sizes = args
    channels = context.shape[1]
    *local_gates, global_gate = gates.split(1, dim=1)
    total: Tensor | None = None
    weights = level_weights(taps, kernel_sizes) if kernel_sizes else []
    for gate, weight in zip(local_gates, weights, strict=True):
        context = F.gelu(F.conv2d(context, weight, padding=weight.shape[-1] // 2, groups=channels))
        total = context * gate if total is None else total + context * gate
    everywhere = F.gelu(context.mean((2, 3), keepdim=True)) * global_gate
    return everywhere if total is None else total + everywhere
