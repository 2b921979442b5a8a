"""The experiments behind DeepLab's headline claims."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bench.claims import ClaimContext, ClaimResult, Evidence
from reproductions.costs import macs, parameters
from reproductions.deeplab.atrous import by_phases, gradient_span, span, with_holes_as_zeros
from reproductions.deeplab.backbones import STRIDE
from reproductions.deeplab.model import build

SMALLEST_FIELD = 32
"""Pixels that one position of VGG's last features stands for, before any hole: Table 1 counts fields from there."""
ROWS = {
    "7x7, rate 4": (7, 4, 224),
    "4x4, rate 4": (4, 4, 128),
    "4x4, rate 8": (4, 8, 224),
    "3x3, rate 12": (3, 12, 224),
}
"""The rows of Table 1: kernel, rate and the reported field of view."""


def field_of_view_is_free(context: ClaimContext) -> ClaimResult:
    """Count what rates cost, compare fields of view with Table 1, and atrous convolution with what it is equal to."""
    evidence, agree = [], True
    cost = {}
    for name, (kernel, rate, reported) in ROWS.items():
        layer = nn.Conv2d(4, 4, kernel, padding=span(kernel, rate) // 2, dilation=rate)
        field = STRIDE * (gradient_span(layer, 4, 61) - 1) + SMALLEST_FIELD
        agree &= field == reported
        evidence.append(Evidence(f"field of view of {name}", field, "px", str(reported)))
    for rate in (4, 8):
        cost[rate] = _cost(rate)
        evidence += [
            Evidence(f"parameters of VGG-16 with 4x4 filters at rate {rate}", cost[rate][0], "params", "65.1 M"),
            Evidence(f"multiply-adds at rate {rate}, 306 pixels", cost[rate][1], "MAC"),
        ]
    difference = _largest_difference()
    evidence.append(Evidence("largest difference of the dense and the phase-split form, float64", difference))
    free = cost[4] == cost[8]
    limits = "Multiply-adds with the zeros of the padding count; the time of a pass is not part of the claim."
    return ClaimResult("holds" if free and agree and difference < 1e-10 else "fails", tuple(evidence), limits)


def _cost(rate: int) -> tuple[int, int]:
    """Return parameters and multiply-adds of VGG-16 with 4x4 filters."""
    config = {"n_classes": 21, "atrous_rates": [rate], "kernel": 4, "hidden": 4096}
    with torch.device("meta"):
        model = build(config | {"pool_kernel": 2, "average_pool": False})
    return parameters(model), macs(model, (1, 3, 306, 306))


def _largest_difference() -> float:
    """Return how far the two other forms of an atrous convolution are from torch's, over several kernels and rates."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for kernel, rate, _ in ROWS.values():
        x = torch.randn(1, 3, 41, 37, generator=generator, dtype=torch.float64)
        weight = torch.randn(4, 3, kernel, kernel, generator=generator, dtype=torch.float64)
        padding = span(kernel, rate) // 2
        atrous = F.conv2d(x, weight, padding=padding, dilation=rate)
        for form in (with_holes_as_zeros, by_phases):
            worst = max(worst, float((form(x, weight, rate, padding) - atrous).abs().max()))
    return worst
