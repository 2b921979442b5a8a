"""The experiments behind HaloNet's headline claims."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import growth, macs, times
from claimbench.reproductions.halonet.attention import HaloAttention
from claimbench.reproductions.halonet.model import build

DIM, HEADS, BLOCK, HALO = 64, 4, 8, 3  # of the first stage of H0
SIDES = (16, 32, 64)
HYBRIDS = ((), (0,), (0, 1), (0, 1, 2))
"""Stages with convolution in place of attention, in the order of the paper's table."""
TRAIN_TIMES = ("1.9", "1.4", "1.0", "0.5")
SMALL = {
    "block_size": 8,
    "halo_size": 3,
    "depths": [3, 3, 7, 3],
    "out_channels": [32, 64, 128, 256],
    "hidden": [64, 128, 256, 512],
    "num_heads": [4, 8, 8, 8],
    "act": "silu",
    "stem": "7x7",
    "stem_pool": "zero_max",
}


class GlobalAttention(nn.Module):
    """Every position attends to all others, in PyTorch's fused kernel, without position scores."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to tokens (B, H * W, C)."""
        q, k, v = self.qkv(x.flatten(2).mT).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class SlidingAttention(nn.Module):
    """Every position attends to a window around itself, whose keys and values are copied out for it."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(DIM, 3 * DIM, 1, bias=False)
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, heads, H * W, 1, D)."""
        q, k, v = self.qkv(x).chunk(3, dim=1)
        side = 2 * self.reach + 1
        windows = (F.unfold(each, side, padding=self.reach).unflatten(1, (HEADS, -1, side * side)) for each in (k, v))
        k, v = (each.permute(0, 1, 4, 3, 2) for each in windows)  # (B, heads, H W, side side, D)
        query = q.unflatten(1, (HEADS, -1)).flatten(3).mT.unsqueeze(-2)
        return F.scaled_dot_product_attention(query, k, v)


def _blocked() -> HaloAttention:
    return HaloAttention(DIM, DIM, HEADS, BLOCK, HALO)


@torch.no_grad()
def blocked_against_global(context: ClaimContext) -> ClaimResult:
    """Compare blocked with global attention over the side of the map: multiply-adds, and time on the CPU."""
    positions = tuple(side * side for side in SIDES)
    counts = {
        "blocked": tuple(float(macs(_blocked(), (1, DIM, side, side))) for side in SIDES),
        "global": tuple(float(macs(GlobalAttention(), (1, DIM, side, side))) for side in SIDES),
    }
    layers = {"blocked": _blocked(), "global": GlobalAttention()}
    seconds = [
        times({name: partial(layer, torch.randn(1, DIM, side, side)) for name, layer in layers.items()}, repeats=3)
        for side in SIDES
    ]
    powers = {name: growth(positions, each) for name, each in counts.items()}
    paces = {name: growth(positions, tuple(each[name] for each in seconds)) for name in layers}
    evidence = [
        *(
            Evidence(f"power of the number of positions, multiply-adds of {name} attention", powers[name])
            for name in layers
        ),
        *(Evidence(f"the same for its time on the CPU, {SIDES[-2]} to {SIDES[-1]}", paces[name]) for name in layers),
        *(
            Evidence(f"time of blocked over global attention, {side}x{side}", each["blocked"] / each["global"])
            for side, each in zip(SIDES, seconds, strict=True)
        ),
    ]
    linear, faster = abs(powers["blocked"] - 1) < 0.02, seconds[-1]["blocked"] < seconds[-1]["global"]
    limits = "One layer at the sizes of H0's first stage on a CPU; global attention has no position scores here."
    if linear and faster:
        return ClaimResult("holds", tuple(evidence), limits)
    return ClaimResult("partly" if linear or faster else "fails", tuple(evidence), limits)


@torch.no_grad()
def blocked_against_sliding(context: ClaimContext) -> ClaimResult:
    """Compare with a window around every position, of the reach that blocks with halos give each at least."""
    x = torch.randn(2, DIM, 32, 32)
    layers = {"blocked": _blocked(), "sliding": SlidingAttention(HALO)}
    seconds = times({name: partial(layer, x) for name, layer in layers.items()}, repeats=3)
    copies = (2 * HALO + 1) ** 2
    evidence = (
        Evidence("time of blocked over sliding-window attention, 32x32, CPU", seconds["blocked"] / seconds["sliding"]),
        Evidence("copies of keys and values where blocks are unfolded", ((BLOCK + 2 * HALO) / BLOCK) ** 2),
        Evidence("the same for sliding windows", float(copies)),
    )
    limits = (
        "Sliding windows in plain PyTorch, which copies every window; a fused kernel for them would copy nothing, like "
        "the one for blocks that is timed here."
    )
    faster = seconds["blocked"] < seconds["sliding"]
    return ClaimResult("holds" if faster else "fails", evidence, limits)


@torch.no_grad()
def hybrid_cost(context: ClaimContext) -> ClaimResult:
    """Time H0 with convolution in none, one, two and three of its early stages, on the CPU."""
    runs = {}
    x = torch.randn(1, 3, 256, 256)
    for convolved in HYBRIDS:
        attention = [[] if i in convolved else range(depth) for i, depth in enumerate(SMALL["depths"])]  # type: ignore[arg-type, var-annotated]
        runs[str(len(convolved))] = partial(build(SMALL | {"attention": attention}).eval(), x)
    seconds = list(times(runs, repeats=3).values())
    evidence = tuple(
        Evidence(f"time with convolution in {len(convolved)} stages, over two", each / seconds[2], "", reported)
        for convolved, each, reported in zip(HYBRIDS, seconds, TRAIN_TIMES, strict=True)
    )
    limits = (
        "Speed alone, of inference with H0 on a CPU where the paper's figures are training times of H7; the accuracies "
        "of the hybrids need training."
    )
    return ClaimResult("partly" if seconds[2] < seconds[0] else "fails", evidence, limits)
