"""The experiments behind VSA's headline claims."""

from __future__ import annotations

from functools import partial

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters, times
from claimbench.reproductions.judging import concluded, measured
from claimbench.reproductions.vsa.attention import VariedWindowAttention, WindowAttention

STAGES = ((56, 64, 2), (28, 128, 4), (14, 256, 8), (7, 512, 16))
"""Side of the map, channels and heads in the normal cells of the S model, stage by stage, for pictures of 224."""
WINDOW = 7
NEGLIGIBLE = 0.05
"""The largest increase of the whole model's multiply-adds that counts as negligible; of its time, twice as much."""


def overhead(context: ClaimContext) -> ClaimResult:
    """Compare varied-size with fixed windows: the attention layers of ViTAEv2-S, and the whole model if measured."""
    evidence = []
    for side, dim, heads in STAGES:
        layers = {
            "varied": VariedWindowAttention(dim, dim, heads, WINDOW).eval(),
            "fixed": WindowAttention(dim, dim, heads, WINDOW).eval(),
        }
        x = torch.randn(2, dim, side, side).to(memory_format=torch.channels_last)
        seconds = times({name: partial(layer, x) for name, layer in layers.items()}, repeats=3)
        evidence.append(
            Evidence(f"time of the attention layer over fixed windows', {side}x{side}, CPU", _ratio(seconds))
        )
        extra = {name: float(parameters(layer)) for name, layer in layers.items()}
        evidence.append(Evidence(f"its parameters over fixed windows', {side}x{side}", _ratio(extra)))
        counts = {name: float(macs(layer, (1, dim, side, side))) for name, layer in layers.items()}
        evidence.append(Evidence(f"its products' multiply-adds over fixed windows', {side}x{side}", _ratio(counts)))
    whole = {}
    for metric in ("macs", "throughput"):
        varied, fixed = (context.measure(name, "model", metric) for name in ("vitaev2_vsa_s", "vitaev2_star_s"))
        whole[metric] = varied / fixed if varied is not None and fixed else None
        evidence.append(Evidence(f"{metric} of the S model over its own with fixed windows", whole[metric]))
    limits = (
        "Fixed windows run in PyTorch's fused attention, varied ones in the native operator; on a GPU the share of "
        "sampling may differ. Multiply-adds of the layers leave sampling out, those of the whole model count it. "
        f"Negligible is read as at most {NEGLIGIBLE:.0%} more multiply-adds and {2 * NEGLIGIBLE:.0%} less throughput."
    )
    counted, speed = whole["macs"], whole["throughput"]
    if counted is None:
        return ClaimResult("untested", tuple(evidence), "vitaev2_vsa_s and vitaev2_star_s were not counted in one run.")
    work = measured(counted, "multiply-adds", lambda ratio: ratio <= 1 + NEGLIGIBLE)
    pace = measured(speed, "throughput", lambda ratio: ratio >= 1 - 2 * NEGLIGIBLE)
    return concluded(work | pace, evidence, limits, main=work)


def _ratio(costs: dict[str, float]) -> float:
    return costs["varied"] / costs["fixed"]


@torch.no_grad()
def starts_fixed(context: ClaimContext) -> ClaimResult:
    """Compare a layer that predicts no offset and no scale with plain window attention of the same weights."""
    torch.manual_seed(0)
    varied = VariedWindowAttention(32, 32, 2, WINDOW).double()
    for predictor in (varied.offsets, varied.scales):
        predictor.weight.zero_()
        predictor.bias.zero_()
    fixed = WindowAttention(32, 32, 2, WINDOW).double()
    fixed.load_state_dict(varied.state_dict(), strict=False)
    evidence = []
    for height, width in ((14, 14), (16, 11)):
        x = torch.randn(1, 32, height, width, dtype=torch.float64)
        expected = fixed(x)
        gap = (varied(x) - expected).abs().max() / expected.abs().max()
        evidence.append(Evidence(f"largest relative difference to window attention, {height}x{width} map", gap.item()))
    equal = all(e.value is not None and e.value < 1e-12 for e in evidence)
    limits = "The official code starts training from random predictions instead, so from windows of other places."
    return ClaimResult("holds" if equal else "fails", tuple(evidence), limits)
