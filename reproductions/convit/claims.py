"""The experiments behind ConViT's headline claims."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.convit.attention import GatedPositionalAttention
from claimbench.reproductions.judging import concluded

HEADS, HEAD_DIM, SIDE = 9, 8, 7
SHARP = 40.0  # a locality strength at which softmax leaves one offset only


def local_start(context: ClaimContext) -> ClaimResult:
    """Compare an attention layer at its start with the 3x3 convolution it stands for, in the limit and as released.

    In the limit its positional softmax leaves one offset to a head, and its gates are one.
    """
    limit, released = _difference(SHARP, 50.0), _difference(1.0, None)
    start = GatedPositionalAttention(4 * HEAD_DIM, 4)
    start.init_as_convolution()
    # The patch in row 7, column 7 of 14 x 14 sees the offsets -7 to 6, of which -1 to 1 are near.
    logits = start.table((14, 14))[:, 6:20, 6:20].detach()
    near = logits.flatten(1).softmax(-1).view(4, 14, 14)[:, 6:9, 6:9].sum((1, 2)).min().item()
    gate = torch.sigmoid(start.gate)[0].item()
    evidence = (
        Evidence("difference from the 3x3 convolution inside the map, in the limit, relative, float64", limit),
        Evidence("the same as released", released),
        Evidence("share of a head's positional attention within one patch, as released (4 heads)", near),
        Evidence("share of the positional softmax at the start (sigmoid of the gate)", gate),
    )
    limits = (
        f"The limit is a locality strength of {SHARP:g} and gates at one; as released (1 and {gate:.2f}) each "
        "head is centred on its offset and spreads around it. What training makes of it is not tested."
    )
    parts: dict[str, bool | None] = {
        "equality in the limit": limit < 1e-9,
        f"equality as released ({released:.2f} off)": released < 1e-9,
    }
    return concluded(parts, evidence, limits, main=["equality in the limit"])


@torch.no_grad()
def _difference(strength: float, gate: float | None) -> float:
    """Return how far a layer's output lies from its convolution's inside the map, relative, in float64.

    Args:
        strength: of the locality.
        gate: the logit of every gate; None for that of the start.
    """
    torch.manual_seed(0)
    dim = HEADS * HEAD_DIM
    attention = GatedPositionalAttention(dim, HEADS, locality_strength=strength).double()
    attention.init_as_convolution()
    if gate is not None:
        attention.gate.fill_(gate)
    x = torch.randn(2, SIDE * SIDE, dim, dtype=torch.float64)
    found = attention(x, (SIDE, SIDE)).view(2, SIDE, SIDE, dim)[:, 1:-1, 1:-1]
    # Head h1 + 3 * h2 reads the value (here the input itself) at offset (h2 - 1, h1 - 1) through its part of proj.
    kernel = torch.zeros(dim, dim, 3, 3, dtype=torch.float64)
    for head in range(HEADS):
        column, row = divmod(head, 3)
        part = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        kernel[:, part, row, column] = attention.proj.weight[:, part]
    image = x.transpose(1, 2).unflatten(2, (SIDE, SIDE))
    expected = F.conv2d(image, kernel, attention.proj.bias).permute(0, 2, 3, 1)
    return float((found - expected).norm() / expected.norm())
