"""The experiments behind RMT's headline claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.kernels.biased_attention import biased_attention, manhattan_decay
from claimbench.reproductions.costs import growth, macs
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.rmt.attention import Positions

HEADS, HEAD_DIM = 4, 16  # of RMT-S's first stage, at 56 x 56 tokens for pictures of 224
SIDES = (14, 28, 56)
SMALL: Mapping[str, Any] = {
    "embed_dims": (64, 128, 256, 512),
    "depths": (3, 4, 18, 4),
    "chunkwise_recurrents": (True, True, True, False),
}
"""The hyper-parameters of RMT-S that its attention products depend on."""


def whole(query: Tensor, key: Tensor, value: Tensor, decay: Tensor) -> Tensor:
    """Attend over all positions of (B, G, H, W, d), decaying with the Manhattan distance."""
    return biased_attention(query, key, value, manhattan_decay(decay, *query.shape[2:4]))


def decomposed(query: Tensor, key: Tensor, value: Tensor, decay: Tensor) -> Tensor:
    """Attend within rows, then within columns."""
    height, width = query.shape[2:4]
    rows = biased_attention(query, key, value, manhattan_decay(decay, 1, width), axis="width")
    return biased_attention(query, key, rows, manhattan_decay(decay, height, 1), axis="height")


def product_macs(config: Mapping[str, Any], size: int) -> int:
    """Return the multiply-adds of all attention products for pictures of ``size`` x ``size``."""
    total = 0
    for i, (dim, depth) in enumerate(zip(config["embed_dims"], config["depths"], strict=True)):
        side = -(-size // (4 * 2**i))
        reach = 2 * side if config["chunkwise_recurrents"][i] else side * side
        total += depth * 2 * side * side * reach * dim
    return total


def attention_products(context: ClaimContext) -> ClaimResult:
    """Compare RMT-S's multiply-adds, with and without its attention products, with the printed 4.5 G."""
    counted = context.measure("rmt_s", "model", "macs")
    products = product_macs(SMALL, 224)
    evidence = (
        Evidence("multiply-adds of RMT-S", counted, "MACs", "4.5 G"),
        Evidence("of these in attention products", products, "MACs"),
        Evidence("multiply-adds without attention products", counted - products if counted else None, "MACs", "4.5 G"),
    )
    if not counted:
        return ClaimResult("untested", evidence, "The multiply-adds of rmt_s were not counted in this run.")
    needed = round(counted / 1e9, 1)
    without = round((counted - products) / 1e9, 1)
    limits = (
        f"Without the attention products it is {without:g} G: the printed figure is what convolutions and linear "
        "layers alone come to, which the paper does not say."
        if needed > 4.5 >= without
        else ""
    )
    return ClaimResult("holds" if needed <= 4.5 else "fails", evidence, limits)


def decomposition_cost(context: ClaimContext) -> ClaimResult:
    """Compare the growth of decomposed and of whole Manhattan attention's multiply-adds with the number of tokens."""
    forms = {"decomposed": decomposed, "whole": whole}
    tokens = tuple(side * side for side in SIDES)
    cost: dict[str, tuple[float, ...]] = {}
    for name, form in forms.items():
        maps = ((1, HEADS, side, side, HEAD_DIM) for side in SIDES)
        cost[name] = tuple(float(macs(nn.Identity(), shape, shape, shape, (HEADS,), call=form)) for shape in maps)
    powers = {name: growth(tokens, each) for name, each in cost.items()}
    evidence = [
        Evidence(
            "power of the number of tokens with which multiply-adds grow, decomposed", powers["decomposed"], "", "1.5"
        ),
        Evidence("the same, whole", powers["whole"], "", "2"),
        *(
            Evidence(f"decomposed over whole, {side}x{side} tokens: multiply-adds", mine / other)
            for side, mine, other in zip(SIDES, cost["decomposed"], cost["whole"], strict=True)
        ),
    ]
    parts: dict[str, bool | None] = {
        "N^1.5 decomposed": abs(powers["decomposed"] - 1.5) < 0.02,
        "N^2 whole": abs(powers["whole"] - 2) < 0.02,
    }
    return concluded(parts, evidence, "The attention alone, without its projections.")


def decay_field(context: ClaimContext) -> ClaimResult:
    """Compare the weights that both forms give to tokens without content."""
    height, width = 6, 9
    decay = Positions(HEADS * HEAD_DIM, HEADS, 2, 4, decomposed=True).decay.double()
    silent = torch.zeros(1, HEADS, height, width, 2, dtype=torch.float64)
    one_hot = torch.eye(height * width, dtype=torch.float64).view(1, 1, height, width, -1).expand(-1, HEADS, -1, -1, -1)
    fields = [form(silent, silent, one_hot, decay) for form in (whole, decomposed)]
    difference = ((fields[0] - fields[1]).norm() / fields[0].norm()).item()
    evidence = (Evidence("difference of the attention weights of both forms, relative, float64", difference),)
    limits = "Without content only: with it, the decomposed form compares queries with keys of two axes in turn."
    return ClaimResult("holds" if difference < 1e-9 else "fails", evidence, limits)
