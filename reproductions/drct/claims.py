"""The experiments behind DRCT's headline claims."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import one_thread
from claimbench.reproductions.drct import small_scale
from claimbench.reproductions.drct.model import DRCT
from claimbench.reproductions.judging import concluded

SEEDS = (0, 1, 2)
STEPS = 100
DROP = 0.5
"""The ratio of the last intensity to the highest below which it counts as an abrupt drop."""

GROWN = 1.05
"""The ratio of the last intensity to the first from which on it counts as growth."""

KEPT = 0.9
"""The least of these ratios that counts as staying high."""

HAT_M = 20.77
"""The parameters of HAT in the paper's Table 2, in millions."""

Curves = Mapping[str, list[list[float]]]
"""The intensity before the first group and behind each group, for each network and seed."""


def parts_of(curves: Curves) -> dict[str, bool | None]:
    """Return the parts of the claim: ``plain`` should drop and ``dense`` rise and stay high, for every seed."""
    return {
        "the drop without dense connections": all(curve[-1] <= DROP * max(curve) for curve in curves["plain"]),
        "DRCT's growth": all(
            curve[-1] >= KEPT * max(curve) and curve[-1] > GROWN * curve[0] for curve in curves["dense"]
        ),
    }


def intensity(context: ClaimContext) -> ClaimResult:
    """Train a small DRCT and the same network without dense connections, and follow the feature maps' magnitude."""
    try:
        with one_thread():
            curves, first, scores = _trained()
    except ImportError:
        return ClaimResult("untested", (), "Needs the photographs of scikit-image: pip install scikit-image.")
    evidence = []
    for name, title in (("dense", "DRCT"), ("plain", "without dense connections")):
        for what, found in (("mean magnitude", curves), ("channel 0", first)):
            curve = [fmean(values) for values in zip(*found[name], strict=True)]
            evidence += [
                Evidence(f"{what} behind the last group over that before the first, {title}", curve[-1] / curve[0]),
                Evidence(f"{what} behind the last group over the highest of all, {title}", curve[-1] / max(curve)),
            ]
        evidence.append(Evidence(f"PSNR of held-out pictures, {title}", fmean(scores[name]), "dB"))
    limits = (
        f"Networks of 0.44 M parameters, {STEPS} steps on crops of five photographs, {len(SEEDS)} seeds: a direction "
        "at best. The paper shows feature maps of SwinIR and HAT and gives no figure; where a drop begins is set here "
        f"(below {DROP:g} of the highest), as is growth (above {GROWN:g} of the first and {KEPT:g} of the highest)."
    )
    return concluded(parts_of(curves), evidence, limits, stand_in="in small networks")


def _trained() -> tuple[Curves, Curves, Mapping[str, list[float]]]:
    """Return intensities after training, those of channel 0 alone, and PSNR in dB."""
    scale = int(small_scale.CONFIG["upscale"])
    data = small_scale.pictures(scale)
    curves: dict[str, list[list[float]]] = {"dense": [], "plain": []}
    first: dict[str, list[list[float]]] = {"dense": [], "plain": []}
    scores: dict[str, list[float]] = {"dense": [], "plain": []}
    for seed in SEEDS:
        for name, build in (("dense", DRCT), ("plain", small_scale.Plain)):
            torch.manual_seed(seed)
            network = build(small_scale.CONFIG)
            small_scale.train(network, data, scale, STEPS, seed)
            curves[name].append(small_scale.intensities(network, data))
            first[name].append(small_scale.intensities(network, data, 0))
            scores[name].append(small_scale.psnr(network, data, scale))
    return curves, first, scores


def parameters(context: ClaimContext) -> ClaimResult:
    """Compare the parameters of DRCT, as measured in this run, with the figure that the paper reports for HAT."""
    found = context.measure("drct_srx4", "model", "params")
    if found is None:
        return ClaimResult("untested", (), "Needs the parameters of drct_srx4: run with --metrics params.")
    millions = found / 1e6
    evidence = (
        Evidence("parameters of DRCT", millions, "M", "14.13"),
        Evidence("over those that the paper reports for HAT", millions / HAT_M, "", "0.68"),
    )
    fewer = f"{millions / HAT_M:.2f} of HAT's printed figure"
    parts = {
        fewer: millions < HAT_M,
        f"14.13 M ({millions:.2f} M here)": round(millions, 2) == 14.13,
        "HAT's own": None,
    }
    limits = (
        "The paper's figure is this count cut off, not rounded; HAT's is taken from the paper, HAT is not built here."
    )
    return concluded(parts, evidence, limits, main=[fewer])
