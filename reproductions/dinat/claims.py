"""The experiments behind the headline claims of NAT and DiNAT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.kernels.neighborhood_attention import neighborhood_attention
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import GLOBAL_SIDES, HOW_GROWN, LOCAL_SIDES, growths, macs, parameters, times
from claimbench.reproductions.judging import concluded, grown, linear, quadratic
from claimbench.reproductions.map_attention import NeighborhoodAttention

DIM, HEADS, KERNEL = 64, 2, 7  # of the first level of the mini models: 56 x 56 positions for pictures of 224
SIDE = 56
DILATIONS = (1, 2, 4, 8)
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
    ratios = [seconds[str(d)] / seconds["1"] for d in DILATIONS[1:]]
    limits = (
        f"One layer at {SIDE}x{SIDE} positions and {DIM} channels, on this machine's CPU: a GPU reads a dilated window "
        f"from further apart, which its caches may feel. Times are equal within {NOISE:.0%}, a bound set here."
    )
    parts = {
        "no parameters": len(set(counted.values())) == 1,
        "no arithmetic": len(set(work.values())) == 1,
        "no time": _no_time(ratios),
    }
    return concluded(parts, evidence, limits, main=["no parameters", "no arithmetic"])


def _no_time(ratios: Sequence[float]) -> bool | None:
    """Return whether no dilated layer is slower; None if one is faster by more than the noise, for no reason known."""
    if max(ratios) > 1 + NOISE:
        return False
    return None if min(ratios) < 1 - NOISE else True


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
    parts: dict[str, bool | None] = {
        "linear undilated": all(b - a == 2 for a, b in pairwise(plain)),
        "exponential if dilations grow": all(b == 3 * a for a, b in pairwise(dilated)),
        "exponential if they alternate": all(b >= 2 * a for a, b in pairwise(alternating)),
    }
    limits = (
        "Exact for kernel 3. The published models alternate dilation 1 with one fixed dilation a level, so that within "
        "a level their field grows linearly, in larger steps; it grows exponentially where each dilation is the reach "
        "of the layers before."
    )
    return concluded(parts, evidence, limits)


def _reach(dilations: list[int]) -> int:
    """Return the number of positions of a line that reach its middle through layers of kernel 3."""
    x = torch.randn(1, 1, LENGTH, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    out = x
    for dilation in dilations:
        out = neighborhood_attention(out, out, out, kernel_size=3, dilation=dilation)
    (grad,) = torch.autograd.grad(out[0, 0, LENGTH // 2].sum(), x)
    return int((grad.abs().sum(-1) > 0).sum())


def linear_cost(context: ClaimContext) -> ClaimResult:
    """Compare the growth of neighbourhood and of full attention with the pixels: multiply-adds, memory and CPU time."""
    local = partial(NeighborhoodAttention, DIM, HEADS, KERNEL, 1, True)
    full = partial(SelfAttention, DIM, HEADS, True)
    ours = growths(local, {side**2: (1, side, side, DIM) for side in LOCAL_SIDES})
    theirs = growths(full, {side**2: (1, side**2, DIM) for side in GLOBAL_SIDES})
    parts = linear(ours) | quadratic(theirs, "attention's")
    evidence = [*grown("neighbourhood attention", ours), *grown("self-attention", theirs)]
    limits = (
        f"{HOW_GROWN} Attention runs in PyTorch's fused kernel; only with its scores written out is memory quadratic."
    )
    return concluded(parts, evidence, limits, main=["MACs", "attention's MACs"])
