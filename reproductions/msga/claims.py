"""The experiments behind the headline claims: small networks that ``bench train msga`` left, compared seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, pstdev, stdev

from scipy import stats

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.judging import concluded

DATASET = "brain-structures"
CHANCE = 10.0
"""The Dice in per cent that a network must reach for comparisons with it to mean anything."""

LADDER = ("daf", "pam", "cam", "pam_cam", "ms_dual", "guided")
REPORTED = {"daf": "82.48", "pam": "84.46", "cam": "85.08", "pam_cam": "85.52", "ms_dual": "86.17", "guided": "86.75"}
STAND_IN = "On slabs of one head, at an eighth of the width"
NOTHING = (
    f"Nothing is trained yet: `bench train msga --dataset {DATASET}` trains the small networks (about 20 minutes on "
    "two cores), and the next run judges them."
)
LIMITS = (
    "One head is one subject, so that nothing is said of subjects; the networks are small, briefly trained, and of "
    "different size where the paper's are. A difference counts if its 95 % interval over seeds leaves out zero."
)

Slabs = Sequence[Mapping[str, float | None]]
Figure = Callable[[Sequence[float]], float]
Runs = Mapping[str, Mapping[int, Sequence[float]]]
"""By network and seed, the Dice of each slab, a mean over its structures."""


def _trained(context: ClaimContext) -> Runs:
    """Return the Dice of the networks that were trained on the data set."""
    runs: dict[str, dict[int, list[float]]] = {}
    for model in context.trained():
        if model.dataset != DATASET:
            continue
        for found in model.figures.get("outcomes", ()):
            slabs = [_dice(slab) for slab in found["test"].values()]
            runs.setdefault(found["arm"], {})[found["seed"]] = [dice for dice in slabs if dice is not None]
    return runs


def _dice(structures: Slabs) -> float | None:
    """Return the mean Dice over the structures that are in a slab or were predicted there."""
    known = [dice for each in structures if (dice := each.get("dsc")) is not None]
    return fmean(known) if known else None


def _interval(runs: Runs, first: str, second: str, figure: Figure) -> tuple[float, float, float] | None:
    """Return the mean difference of a figure, first less second, over the seeds of both, and its 95 % interval."""
    seeds = runs.get(first, {}).keys() & runs.get(second, {}).keys()
    differences = [figure(runs[first][seed]) - figure(runs[second][seed]) for seed in sorted(seeds)]
    if len(differences) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * stdev(differences) / len(differences) ** 0.5
    return fmean(differences), fmean(differences) - half, fmean(differences) + half


def _above(runs: Runs, first: str, second: str, figure: Figure = fmean) -> bool | None:
    """Return whether a figure of the first network is the higher one; None if the seeds do not decide it."""
    found = _interval(runs, first, second, figure)
    if found is None or found[1] <= 0 <= found[2]:
        return None
    return found[0] > 0


def _evidence(runs: Runs, arms: Sequence[str]) -> list[Evidence]:
    """Return the mean Dice of networks and its spread over slabs, each a mean over seeds."""
    evidence = []
    for arm in arms:
        seeds = list(runs.get(arm, {}).values())
        values = [fmean(each) for each in seeds] if seeds else []
        spreads = [pstdev(each) for each in seeds if len(each) > 1]
        evidence.append(Evidence(f"{arm}: Dice", fmean(values) if values else None, "%", REPORTED.get(arm, "")))
        evidence.append(Evidence(f"{arm}: spread over slabs", fmean(spreads) if spreads else None, "%"))
    return evidence


def _judged(runs: Runs, arms: Sequence[str], parts: Mapping[str, bool | None]) -> ClaimResult:
    if not runs:
        return ClaimResult("untested", (), NOTHING)
    best = max(fmean(dice) for seeds in runs.values() for dice in seeds.values() if dice)
    if best < CHANCE:
        return ClaimResult(
            "untested", tuple(_evidence(runs, arms)), f"No network learned: the best Dice is {best:.1f} %."
        )
    return concluded(parts, _evidence(runs, arms), LIMITS, stand_in=STAND_IN)


def better(context: ClaimContext) -> ClaimResult:
    """Compare MS-Dual-Guided with U-Net and Attention U-Net of as many parameters, and with the DAF baseline."""
    runs = _trained(context)
    others = {"daf": "DAF", "unet": "U-Net", "attention_unet": "Attention U-Net"}
    parts = {f"higher Dice than {title}": _above(runs, "guided", name) for name, title in others.items()}
    return _judged(runs, ("guided", *others), parts)


def steadier(context: ClaimContext) -> ClaimResult:
    """Compare the spread of Dice over slabs with that of the DAF baseline; spread over subjects stays open."""
    runs = _trained(context)
    over_slabs = _above(runs, "daf", "guided", pstdev)
    return _judged(runs, ("guided", "daf"), {"steadier over slabs": over_slabs, "steadier over subjects": None})


def modules(context: ClaimContext) -> ClaimResult:
    """Compare each network of the ladder of Table 1 with the one before it."""
    runs = _trained(context)
    parts = {f"{after} above {before}": _above(runs, after, before) for before, after in pairwise(LADDER)}
    return _judged(runs, LADDER, parts)


def losses(context: ClaimContext) -> ClaimResult:
    """Switch off each further loss, and take one or three steps in place of two."""
    runs = _trained(context)
    others = {
        "no_guide_loss": "the guide loss helps",
        "no_reconstruction_loss": "the reconstruction loss helps",
        "ms_dual": "guidance helps",
        "guided_1": "two steps above one",
        "guided_3": "two steps above three",
    }
    parts = {title: _above(runs, "guided", name) for name, title in others.items()}
    return _judged(runs, ("guided", *others), parts)
