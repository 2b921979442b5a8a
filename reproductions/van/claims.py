"""The experiments behind VAN's headline claims."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, ClaimVerdict, Evidence
from claimbench.reproductions.costs import growth, macs, parameters, times
from claimbench.reproductions.van.model import LargeKernelAttention

WIDTHS = (64, 128, 320, 512)  # of the stages of B2
SIDES = (14, 28, 56)
SMALL_FRACTION = 0.05


class SelfAttention(nn.Module):
    """Softmax self-attention over all positions of (B, C, H, W), one head in 32 channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, H * W, C)."""
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        query, key, value = tokens.unflatten(-1, (3, -1, 32)).permute(2, 0, 3, 1, 4)
        return self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


def decomposition_is_cheap(context: ClaimContext) -> ClaimResult:
    """Compare large kernel attention with one dense 21x21 convolution: parameters, multiply-adds and time."""
    evidence, shares = [], []
    for width in WIDTHS:
        kernel, dense = LargeKernelAttention(width), nn.Conv2d(width, width, 21, padding=10)
        size = parameters(kernel) / parameters(dense)
        work = macs(kernel, (1, width, 14, 14)) / macs(dense, (1, width, 14, 14))
        shares += [size, work]
        evidence += [
            Evidence(f"{width} channels: parameters over those of a dense 21x21 convolution", size),
            Evidence(f"{width} channels: multiply-adds over those of a dense 21x21 convolution", work),
        ]
    x = torch.randn(1, 64, 28, 28)
    kernel, dense = LargeKernelAttention(64), nn.Conv2d(64, 64, 21, padding=10)
    seconds = times({"decomposed": partial(kernel, x), "dense": partial(dense, x)}, repeats=3)
    share = seconds["decomposed"] / seconds["dense"]
    evidence.append(Evidence("time over that of the dense convolution, 64 channels at 28x28, CPU", share))
    verdict: ClaimVerdict = (
        "holds" if max(*shares, share) < SMALL_FRACTION else "fails" if min(shares) > SMALL_FRACTION else "partly"
    )
    limits = (
        f"Small is read as below {SMALL_FRACTION:.0%}. The decomposition has fewer degrees of freedom than the kernel."
    )
    return ClaimResult(verdict, tuple(evidence), limits)


def cost_is_linear(context: ClaimContext) -> ClaimResult:
    """Compare the growth of the cost of large kernel attention and of self-attention with the number of positions."""
    width = WIDTHS[0]
    positions = tuple(side**2 for side in SIDES)
    powers = {}
    evidence = []
    for name, kind in (("large kernel attention", LargeKernelAttention), ("self-attention", SelfAttention)):
        work = tuple(float(macs(kind(width), (1, width, side, side))) for side in SIDES)
        layer = kind(width)
        inputs = [torch.randn(1, width, side, side) for side in SIDES[-2:]]
        seconds = times({str(x.shape[-1]): partial(layer, x) for x in inputs}, repeats=3)
        powers[name] = growth(positions, work)
        evidence += [
            Evidence(f"{name}: multiply-adds grow with the positions to the power of", powers[name]),
            Evidence(f"{name}: CPU time grows to the power of", growth(positions[-2:], tuple(seconds.values()))),
        ]
    linear = abs(powers["large kernel attention"] - 1) < 0.01 < powers["self-attention"] - 1
    limits = (
        f"Counted from {SIDES[0]} to {SIDES[-1]} positions a side at {width} channels; memory was not measured here."
    )
    return ClaimResult("holds" if linear else "fails", tuple(evidence), limits)
