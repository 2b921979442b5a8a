"""The experiments behind the headline claims of NAT and DiNAT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.kernels.neighborhood_attention import neighborhood_attention
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import growth, macs, parameters, times
from claimbench.reproductions.map_attention import NeighborhoodAttention

DIM, HEADS, KERNEL = 64, 2, 7  # of the first level of the mini models: 56 x 56 positions for pictures of 224
SIDE = 56
DILATIONS = (1, 2, 4, 8)
SIDES = (28, 56, 112)
LENGTH = 243  # of the line on which receptive fields are counted
NOISE = 0.15  # by how much times on a shared processor may differ


def dilation_cost(context: ClaimContext) -> ClaimResult:
    """Compare neighbourhood attention at dilations 1 to 8: parameters, multiply-adds, and time on the CPU."""
    layers = {d: NeighborhoodAttention(DIM, HEADS, KERNEL, d, True) for d in DILATIONS}
    counted = {d: parameters(layer) for d, layer in layers.items()}
    x = torch.randn(1, SIDE, SIDE, DIM)
    seconds = times({str(d): partial(layer, x) for d, layer in layers.items()}, repeats=15)
    work = {d: macs(layer, (1, SIDE, SIDE, DIM)) for d, layer in layers.items()}
    evidence = [
        Evidence(f"dilation {d}: {what} over dilation 1's", ratio)
        for d in DILATIONS[1:]
        for what, ratio in (
            ("parameters", counted[d] / counted[1]),
            ("multiply-adds", work[d] / work[1]),
            ("time", seconds[str(d)] / seconds["1"]),
        )
    ]
    free = len(set(counted.values())) == len(set(work.values())) == 1
    slowest = max(seconds.values()) / seconds["1"]
    limits = (
        f"One layer at {SIDE}x{SIDE} positions and {DIM} channels, on this machine's CPU: a GPU reads a dilated window "
        "from further apart, which its caches may feel."
    )
    if free and slowest < 1 + NOISE:
        return ClaimResult("holds", tuple(evidence), limits)
    return ClaimResult("partly" if free else "fails", tuple(evidence), limits)


def receptive_field(context: ClaimContext) -> ClaimResult:
    """Count how many positions along one axis reach the middle of a line through 1 to 4 layers, by input gradients."""
    plain = [_reach([1] * depth) for depth in range(1, 5)]
    # A layer that is dilated by the reach of the layers before it lays their windows side by side.
    dilated = [_reach([3**i for i in range(depth)]) for depth in range(1, 5)]
    alternating = [_reach([1, 3] * depth) for depth in range(1, 4)]
    evidence = [
        *(Evidence(f"{i} layers, undilated", n, "positions") for i, n in enumerate(plain, 1)),
        *(Evidence(f"{i} layers, dilation growing by the kernel", n, "positions") for i, n in enumerate(dilated, 1)),
        *(
            Evidence(f"{2 * i} layers, dilations 1 and 3 by turns", n, "positions")
            for i, n in enumerate(alternating, 1)
        ),
    ]
    linear = all(b - a == 2 for a, b in pairwise(plain))
    exponential = all(b == 3 * a for a, b in pairwise(dilated))
    limits = (
        "Exact for kernel 3 and dilations chosen to grow exponentially. The published models alternate dilation 1 with "
        "one fixed dilation a level, so that within a level their field too grows linearly, in larger steps."
    )
    if linear and exponential:
        return ClaimResult("holds", tuple(evidence), limits)
    return ClaimResult("partly" if linear or exponential else "fails", tuple(evidence), limits)


def _reach(dilations: list[int]) -> int:
    """Return the number of positions of a line that reach its middle through layers of kernel 3."""
    x = torch.randn(1, 1, LENGTH, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    out = x
    for dilation in dilations:
        out = neighborhood_attention(out, out, out, kernel_size=3, dilation=dilation)
    (grad,) = torch.autograd.grad(out[0, 0, LENGTH // 2].sum(), x)
    return int((grad.abs().sum(-1) > 0).sum())


def linear_cost(context: ClaimContext) -> ClaimResult:
    """Compare neighbourhood attention with full attention over the number of pixels: multiply-adds and CPU time."""
    local = partial(NeighborhoodAttention, DIM, HEADS, KERNEL, 1, True)
    full = partial(SelfAttention, DIM, HEADS, True)
    pixels = tuple(side * side for side in SIDES)
    ours = tuple(float(macs(local(), (1, side, side, DIM))) for side in SIDES)
    theirs = tuple(float(macs(full(), (1, side * side, DIM))) for side in SIDES)
    timed = SIDES[:2]
    runs: dict[str, Callable[[], object]] = {}
    for side in timed:
        runs[f"local {side}"] = partial(local(), torch.randn(1, side, side, DIM))
        runs[f"full {side}"] = partial(full(), torch.randn(1, side * side, DIM))
    seconds = times(runs)
    evidence = [
        Evidence(
            "power of the number of pixels with which neighbourhood attention's multiply-adds grow",
            growth(pixels, ours),
        ),
        Evidence("the same for self-attention", growth(pixels, theirs)),
        *(
            Evidence(f"multiply-adds over self-attention's, {side}x{side}", mine / other)
            for side, mine, other in zip(SIDES, ours, theirs, strict=True)
        ),
        *(
            Evidence(
                f"time over self-attention's, {side}x{side}, CPU", seconds[f"local {side}"] / seconds[f"full {side}"]
            )
            for side in timed
        ),
    ]
    linear = abs(growth(pixels, ours) - 1) < 0.02
    superlinear = growth(pixels, theirs) > 1.5
    limits = (
        "Cost of one layer, projections included; times are ratios on this machine's CPU, to PyTorch's fused attention."
    )
    if linear and superlinear:
        return ClaimResult("holds", tuple(evidence), limits)
    return ClaimResult("partly" if linear or superlinear else "fails", tuple(evidence), limits)
