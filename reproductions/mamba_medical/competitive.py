"""The Dice of small networks that ``bench train`` left, compared seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev

from scipy import stats

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.judging import concluded

__all__ = ["DATASET", "compared"]

DATASET = "brain-structures"
CHANCE = 10.0
"""The Dice in per cent that a network must reach for comparisons with it to mean anything."""

MARGIN = 2.0
"""The points of Dice by which a competitive network may be lower."""

PAIRS: Mapping[str, str] = {
    "umamba_bot": "residual_unet",
    "umamba_enc": "residual_unet",
    "vmunet": "residual_unet",
    "umamba_bot_3d": "residual_unet_3d",
    "umamba_enc_3d": "residual_unet_3d",
}
"""Each network with Mamba, and the one without that it is compared with."""

Runs = Mapping[str, Mapping[int, float]]
"""By network and seed, the mean Dice of the test slabs."""


def compared(context: ClaimContext) -> ClaimResult:
    """Compare networks with Mamba with residual U-Nets of equal size, as they were trained."""
    runs = _trained(context)
    if not runs:
        needs = f"Nothing is trained yet: `bench train mamba_medical --dataset {DATASET}` trains the small networks."
        return ClaimResult("untested", (), needs)
    evidence = [Evidence(f"{name}: Dice", fmean(seeds.values()), "%") for name, seeds in runs.items()]
    best = max(dice for seeds in runs.values() for dice in seeds.values())
    if best < CHANCE:
        return ClaimResult("untested", tuple(evidence), f"No network learned: the best Dice is {best:.1f} %.")
    parts: dict[str, bool | None] = {}
    for name, other in PAIRS.items():
        found = _interval(runs, name, other)
        if found is not None:
            evidence += [
                Evidence(f"{name} less {other}, {end} end of the 95 % interval over seeds", value, "%")
                for end, value in zip(("lower", "upper"), found, strict=True)
            ]
        parts[f"{name} beside {other}"] = None if found is None else _is_competitive(*found)
    limits = (
        f"Competitive is a Dice that is lower by {MARGIN:g} points at most. One head is one subject, the networks are "
        "small and briefly trained, and registration, reconstruction and classification are not looked at."
    )
    return concluded(parts, evidence, limits, stand_in="on slabs of one head")


def _is_competitive(low: float, high: float) -> bool | None:
    """Return whether an interval of differences lies above the margin; None if it holds the margin."""
    if low > -MARGIN:
        return True
    return False if high < -MARGIN else None


def _trained(context: ClaimContext) -> Runs:
    """Return the Dice of the networks that were trained on the data set."""
    runs: dict[str, dict[int, float]] = {}
    for model in context.trained():
        if model.dataset != DATASET:
            continue
        for found in model.figures.get("outcomes", ()):
            known = [each["dsc"] for slab in found["test"].values() for each in slab if each.get("dsc") is not None]
            if known:
                runs.setdefault(found["arm"], {})[found["seed"]] = fmean(known)
    return runs


def _interval(runs: Runs, first: str, second: str) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean difference, first less second, over the seeds of both."""
    seeds = sorted(runs.get(first, {}).keys() & runs.get(second, {}).keys())
    differences = [runs[first][seed] - runs[second][seed] for seed in seeds]
    if len(differences) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * stdev(differences) / len(differences) ** 0.5
    return fmean(differences) - half, fmean(differences) + half
