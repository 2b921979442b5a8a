"""The experiments behind VOLO's headline claims."""

from __future__ import annotations

from functools import partial

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import growth, macs, times
from claimbench.reproductions.volo.model import MapAttention
from claimbench.reproductions.volo.outlook import OutlookAttention

DIM, HEADS = 192, 6  # of the outlookers of D1, at 28 x 28 for pictures of 224
SIDES = (14, 28, 56)


def outlook_cost(context: ClaimContext) -> ClaimResult:
    """Compare outlook attention with self-attention over the number of tokens: multiply-adds, and time on the CPU."""
    outlook = partial(OutlookAttention, DIM, HEADS, 3, 2, 1, False)
    attention = partial(MapAttention, DIM, HEADS, False)
    tokens = tuple(side * side for side in SIDES)
    ours = tuple(float(macs(outlook(), (1, side, side, DIM))) for side in SIDES)
    theirs = tuple(float(macs(attention(), (1, side, side, DIM))) for side in SIDES)
    x = torch.randn(1, 28, 28, DIM)
    seconds = times({"outlook": partial(outlook(), x), "attention": partial(attention(), x)})
    evidence = [
        Evidence(
            "power of the number of tokens with which outlook attention's multiply-adds grow", growth(tokens, ours)
        ),
        Evidence("the same for self-attention", growth(tokens, theirs)),
        *(
            Evidence(f"multiply-adds over self-attention's, {side}x{side} tokens", mine / other)
            for side, mine, other in zip(SIDES, ours, theirs, strict=True)
        ),
        Evidence("time over self-attention's, 28x28 tokens, CPU", seconds["outlook"] / seconds["attention"]),
    ]
    linear = abs(growth(tokens, ours) - 1) < 0.02
    cheaper = ours[1] < theirs[1]
    limits = "Cost only, of the definition at stride 2: that it encodes finer features needs training."
    if linear and cheaper:
        return ClaimResult("holds", tuple(evidence), limits)
    return ClaimResult("partly" if linear or cheaper else "fails", tuple(evidence), limits)
