"""The experiments behind FocalNet's headline claims."""

from __future__ import annotations

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence

CLOSE = 0.9
"""The least share of Swin's throughput that is read as close to it."""


def cost_near_window_attention(context: ClaimContext) -> ClaimResult:
    """Compare FocalNet-T with Swin-T: parameters, multiply-adds and throughput."""
    evidence, ratios = [], {}
    for metric, unit, ours, theirs in (
        ("params", "params", "28.4 M", "28.3 M"),
        ("macs", "MAC", "4.4 G", "4.5 G"),
        ("throughput", "img/s", "743 (V100)", "760 (V100)"),
    ):
        focal = context.measure("focalnet_tiny_srf", "model", metric)
        swin = context.measure("timm:swin_tiny_patch4_window7_224", "", metric)
        ratios[metric] = focal / swin if focal and swin else None
        evidence += [
            Evidence(f"FocalNet-T (SRF) {metric}", focal, unit, ours),
            Evidence(f"Swin-T {metric}", swin, unit, theirs),
        ]
    evidence += [
        Evidence(f"{metric}, FocalNet-T over Swin-T", ratio, "", "0.98" if metric == "throughput" else "")
        for metric, ratio in ratios.items()
    ]
    work, speed = ratios["macs"], ratios["throughput"]
    limits = "Focal Transformer is in no library at hand, so that FocalNet is twice as fast was not tested."
    if work is None and speed is None:
        return ClaimResult("untested", tuple(evidence), "Neither cost nor throughput of both models was measured.")
    near = (work is None or work < 1 / CLOSE) and (speed is None or speed > CLOSE)
    return ClaimResult("partly" if near else "fails", tuple(evidence), limits)
