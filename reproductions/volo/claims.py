"""The experiments behind VOLO's headline claims."""

from __future__ import annotations

from functools import partial

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import growth, macs
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.volo.model import MapAttention
from claimbench.reproductions.volo.outlook import OutlookAttention

DIM, HEADS = 192, 6  # of the outlookers of D1, at 28 x 28 for pictures of 224
SIDES = (14, 28, 56)


def outlook_cost(context: ClaimContext) -> ClaimResult:
    """Compare outlook attention with self-attention over the number of tokens in multiply-adds."""
    outlook = partial(OutlookAttention, DIM, HEADS, 3, 2, 1, False)
    attention = partial(MapAttention, DIM, HEADS, False)
    tokens = tuple(side * side for side in SIDES)
    ours = tuple(float(macs(outlook(), (1, side, side, DIM))) for side in SIDES)
    theirs = tuple(float(macs(attention(), (1, side, side, DIM))) for side in SIDES)
    evidence = [
        Evidence(
            "power of the number of tokens with which outlook attention's multiply-adds grow", growth(tokens, ours)
        ),
        Evidence("the same for self-attention", growth(tokens, theirs)),
        *(
            Evidence(f"multiply-adds over self-attention's, {side}x{side} tokens", mine / other)
            for side, mine, other in zip(SIDES, ours, theirs, strict=True)
        ),
    ]
    share = ours[1] / theirs[1]
    parts = {
        "linear multiply-adds": abs(growth(tokens, ours) - 1) < 0.02,
        f"{share:.2f}x self-attention's": share < 1,
        "time and fine-level features": None,
    }
    limits = f"The definition at stride 2, {SIDES[1]}x{SIDES[1]} tokens; that it encodes finer features needs training."
    return concluded(parts, evidence, limits)
