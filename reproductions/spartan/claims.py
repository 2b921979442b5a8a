"""The experiments behind SpaRTAN's headline claims."""

from __future__ import annotations

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.spartan.model import build

T = {"layer_depths": (3, 3, 12, 2), "expand_ratios": (4, 4, 2, 2), "init_dim": 32, "dims": (64, 128, 256)}
BASELINES = ("mobilevitv2_075", "pvt_v2_b0")
ABOUT = 0.1


def cost_at_both_resolutions(context: ClaimContext) -> ClaimResult:
    """Count SpaRTAN-T at 256 and at 224 pixels, beside networks of its size."""
    model = build(T)
    size = parameters(model)
    work = {side: macs(model, (1, 3, side, side)) for side in (256, 224)}
    evidence = [
        Evidence("SpaRTAN-T parameters", size, "params", "3.8 M"),
        Evidence("SpaRTAN-T multiply-adds at 256", work[256], "MAC", "1.0 G"),
        Evidence("SpaRTAN-T multiply-adds at 224", work[224], "MAC", "1.0 G"),
    ]
    for name in BASELINES:
        for metric, unit in (("params", "params"), ("macs", "MAC")):
            evidence.append(Evidence(f"{name} {metric}", context.measure(f"timm:{name}", "", metric), unit))
    parts: dict[str, bool | None] = {
        f"{size / 1e6:.2f} M parameters": round(size / 1e6, 1) == 3.8,
        f"{work[256] / 1e9:.2f} G multiply-adds at 256": abs(work[256] / 1e9 - 1.0) <= ABOUT,
    }
    limits = (
        f"About 1.0 G is read as within {ABOUT:.0%}, in multiply-accumulates at 256 pixels, the released model's "
        f"size; at 224 they are {work[224] / 1e9:.2f} G."
    )
    return concluded(parts, evidence, limits)
