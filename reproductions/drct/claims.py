"""The experiments behind DRCT's headline claims."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, ClaimVerdict, Evidence
from claimbench.reproductions.drct import small_scale
from claimbench.reproductions.drct.model import DRCT

SEEDS = (0, 1, 2)
STEPS = 100
DROP = 0.5
"""The ratio of the last intensity to the highest below which it counts as an abrupt drop."""

KEPT = 0.9
"""The least of these ratios that counts as staying high."""

HAT_M = 20.77
"""The parameters of HAT in the paper's Table 2, in millions."""

Curves = Mapping[str, list[list[float]]]
"""The intensity before the first group and behind each group, for each network and seed."""


def verdict(curves: Curves) -> ClaimVerdict:
    """Return the verdict on the curves: ``plain`` should drop and ``dense`` have risen, for every seed."""
    drops = all(curve[-1] <= DROP * max(curve) for curve in curves["plain"])
    stays = all(curve[-1] >= KEPT * max(curve) and curve[-1] > curve[0] for curve in curves["dense"])
    return "holds" if drops and stays else "partly" if drops or stays else "fails"


def intensity(context: ClaimContext) -> ClaimResult:
    """Train a small DRCT and the same network without dense connections, and follow the feature maps' magnitude."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        curves, first, scores = _trained()
    except ImportError:
        return ClaimResult("untested", (), "Needs the photographs of scikit-image: pip install scikit-image.")
    finally:
        torch.set_num_threads(threads)
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
        f"(below {DROP:g} of the highest)."
    )
    return ClaimResult(verdict(curves), tuple(evidence), limits)


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
    limits = "HAT's figure is taken from the paper; HAT is not built here."
    return ClaimResult("holds" if round(millions, 1) == 14.1 and millions < HAT_M else "fails", evidence, limits)
