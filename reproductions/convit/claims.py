"""The experiments behind ConViT's headline claims."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.convit.attention import GatedPositionalAttention

HEADS, HEAD_DIM, SIDE = 9, 8, 7
SHARP = 40.0  # a locality strength at which softmax leaves one offset only


@torch.no_grad()
def local_start(context: ClaimContext) -> ClaimResult:
    """Compare an attention layer at its start, with its gates at one, with the 3x3 convolution that it stands for."""
    torch.manual_seed(0)
    dim = HEADS * HEAD_DIM
    attention = GatedPositionalAttention(dim, HEADS, locality_strength=SHARP).double()
    attention.init_as_convolution()
    attention.gate.fill_(50.0)  # the sigmoid is one: only the positional softmax counts
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
    difference = ((found - expected).norm() / expected.norm()).item()

    start = GatedPositionalAttention(4 * HEAD_DIM, 4)
    start.init_as_convolution()
    # The patch in row 7, column 7 of 14 x 14 sees the offsets -7 to 6, of which -1 to 1 are near.
    logits = start.table((14, 14))[:, 6:20, 6:20]
    near = logits.flatten(1).softmax(-1).view(4, 14, 14)[:, 6:9, 6:9].sum((1, 2)).min().item()
    evidence = (
        Evidence("difference from the 3x3 convolution inside the map, relative, float64", difference),
        Evidence("share of a head's positional attention within one patch, as released (4 heads)", near),
        Evidence(
            "share of the positional softmax at the start (sigmoid of the gate)", torch.sigmoid(start.gate)[0].item()
        ),
    )
    limits = (
        f"Equal to a convolution for a locality strength of {SHARP:g} and gates at one; as released (strength 1, gates "
        "at 0.73) each head is centred on its offset and spreads around it. What training makes of it is not tested."
    )
    return ClaimResult("holds" if difference < 1e-9 and near > 0.5 else "fails", evidence, limits)
