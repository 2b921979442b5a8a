"""The experiments behind HaloNet's headline claims."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.kernels import backend
from claimbench.kernels.neighborhood_attention import neighborhood_attention
from claimbench.reproductions.costs import (
    GLOBAL_SIDES,
    HOW_GROWN,
    LOCAL_SIDES,
    growths,
    peak_memory,
    stand_in_for_gpu,
    times,
)
from claimbench.reproductions.halonet.attention import HaloAttention
from claimbench.reproductions.halonet.model import build
from claimbench.reproductions.judging import concluded, grown, linear, quadratic

DIM, HEADS, BLOCK, HALO = 64, 4, 8, 3  # of the first stage of H0
SIDE = 32
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
    """Every position attends to the window around itself, which shifts inwards at a border; without position scores."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.side = 2 * reach + 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, heads, H, W, D)."""
        q, k, v = self.qkv(x.permute(0, 2, 3, 1)).unflatten(-1, (3, HEADS, -1)).permute(3, 0, 4, 1, 2, 5).unbind(0)
        return neighborhood_attention(q, k, v, kernel_size=self.side)


def _blocked() -> HaloAttention:
    return HaloAttention(DIM, DIM, HEADS, BLOCK, HALO)


def blocked_against_global(context: ClaimContext) -> ClaimResult:
    """Compare the growth of blocked and of global attention with the positions: multiply-adds, memory and CPU time."""
    ours = growths(_blocked, {side**2: (1, DIM, side, side) for side in LOCAL_SIDES})
    theirs = growths(GlobalAttention, {side**2: (1, DIM, side, side) for side in GLOBAL_SIDES})
    parts = linear(ours) | quadratic(theirs, "attention's")
    evidence = [*grown("blocked attention", ours), *grown("global attention", theirs)]
    limits = (
        f"{HOW_GROWN} Attention runs in PyTorch's fused kernel; only with its scores written out is memory quadratic."
    )
    return concluded(parts, evidence, limits, main=["MACs", "attention's MACs"])


@torch.no_grad()
def blocked_against_sliding(context: ClaimContext) -> ClaimResult:
    """Compare with a window around every position, of the reach that blocks with halos give each at least."""
    x = torch.randn(2, DIM, SIDE, SIDE)
    layers = {"blocked": _blocked(), "sliding": SlidingAttention(HALO)}
    runs = {name: partial(layer, x) for name, layer in layers.items()}
    ratios = {}
    for kernels, name in (("reference", "time unfused"), (None, "time fused")):
        with backend.use(kernels):
            seconds = times(runs)
            if kernels:
                ratios["memory unfused"] = peak_memory(runs["blocked"]) / peak_memory(runs["sliding"])
        ratios[name] = seconds["blocked"] / seconds["sliding"]
    evidence = [
        Evidence(f"blocked over sliding-window attention, {SIDE}x{SIDE}, CPU: {name}", ratio)
        for name, ratio in ratios.items()
    ]
    parts = {f"{ratio:.2f}x {name}": ratio < 1 for name, ratio in ratios.items()}
    limits = (
        "Blocked attention has position scores here and sliding windows none; unfused, both copy their windows in "
        "plain PyTorch."
    )
    return concluded(parts, evidence, limits, stand_in=stand_in_for_gpu())


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
    gain = seconds[0] / seconds[2]
    parts = {f"{gain:.2f}x as fast with two convolutional stages": gain > 1, "little loss of accuracy": None}
    third = "faster, as" if seconds[3] < seconds[2] else "slower, not faster as"
    limits = (
        "Inference of H0 on a CPU where the paper's figures are training times of H7. With a third convolutional stage "
        f"it is {third} in the paper's table. The accuracies of the hybrids need training."
    )
    return concluded(parts, evidence, limits, stand_in="on a CPU")
