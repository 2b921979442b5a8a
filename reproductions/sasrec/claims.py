"""The experiments behind SASRec's headline claims."""

from __future__ import annotations

from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import one_thread, stand_in_for_gpu, time_growth, times
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.sasrec.baselines import Caser, GRU4Rec
from claimbench.reproductions.sasrec.model import build

# MovieLens-1M's sizes.
ITEMS, USERS, BATCH, MAXLEN = 3416, 6040, 128, 200
ORDER = 10
TABLE_V = {10: 75, 50: 101, 100: 157, 200: 341, 300: 613, 400: 965}
SMALL_BATCH = 16
LONG = 100
"""The length from which on the growth of time is fitted: that of shorter sequences is mostly the item table's."""

CLOSE = 1.25


class Step:
    """One training step of a model on the same random batch of full sequences."""

    def __init__(self, model: nn.Module, batch: int, length: int, device: str) -> None:
        self.model = model.to(device).train()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(1, ITEMS + 1, (3, batch, length), generator=generator).to(device)

    def __call__(self) -> Tensor:
        """Make the step and return its loss; the device has then finished."""
        with torch.enable_grad():
            good, bad = self.model.training_logits(*self.ids)  # type: ignore[operator]
            loss: Tensor = F.softplus(-good).mean() + F.softplus(bad).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach().cpu()


def _model(length: int) -> nn.Module:
    return build({"items": ITEMS, "maxlen": length, "dropout_rate": 0.2}, "paper")


def epoch_time(context: ClaimContext) -> ClaimResult:
    """Time training steps of SASRec and both baselines in turn, and compare epochs at the size of MovieLens-1M."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = {"SASRec": _model(MAXLEN), "GRU4Rec+": GRU4Rec(ITEMS), "Caser": Caser(ITEMS)}
    seconds = times({name: Step(model, BATCH, MAXLEN, device) for name, model in models.items()}, repeats=2)
    ratios = {name: seconds[name] / seconds["SASRec"] for name in ("GRU4Rec+", "Caser")}
    reported = {"SASRec": "1.7", "GRU4Rec+": "30.7", "Caser": "19.1"}
    evidence = (
        *(
            Evidence(f"{name}: an epoch of {USERS // BATCH} steps, {device}", s * (USERS // BATCH), "s", reported[name])
            for name, s in seconds.items()
        ),
        Evidence("GRU4Rec+ over SASRec", ratios["GRU4Rec+"], "", "18"),
        Evidence("Caser over SASRec", ratios["Caser"], "", "11"),
    )
    parts: dict[str, bool | None] = {
        f"{ratio:.1f}x as fast as {name}": ratio >= ORDER for name, ratio in ratios.items()
    }
    limits = (
        f"All three get the same {BATCH} full sequences of {MAXLEN} random items, the same loss and optimizer; only "
        "model updates are timed. The paper's baselines were other programs on a GPU; a CPU's ratios, which know no "
        "cost of steps that wait for each other, do not decide the claim."
    )
    return concluded(parts, evidence, limits, stand_in=stand_in_for_gpu())


def time_by_length(context: ClaimContext) -> ClaimResult:
    """Time a training step at the maximum lengths of Table V, relative to the shortest."""
    runs = {str(n): Step(_model(n), SMALL_BATCH, n, "cpu") for n in TABLE_V}
    with one_thread():
        seconds = times(runs, repeats=3)
    shortest = min(TABLE_V)
    longest = max(TABLE_V)
    ratios = {n: seconds[str(n)] / seconds[str(shortest)] for n in TABLE_V if n != shortest}
    printed = {n: TABLE_V[n] / TABLE_V[shortest] for n in ratios}
    evidence = [
        Evidence(f"step at {n} items over that at {shortest}", ratio, "", f"{printed[n]:.1f}")
        for n, ratio in ratios.items()
    ]
    long = [n for n in TABLE_V if n >= LONG]
    power = time_growth(long, [seconds[str(n)] for n in long])
    evidence.append(Evidence(f"time grows from {LONG} to {longest} items to the power of", power, "", "1.3"))
    steeper = ratios[longest] / printed[longest]
    parts = {
        f"growth below quadratic to {longest} items": None if power is None else power < 2,
        f"Table V's growth ({steeper:.1f}x as steep)": steeper <= CLOSE,
        "600 items": None,
    }
    limits = (
        f"Batches of {SMALL_BATCH} full sequences on the CPU; the paper's times are of whole trainings on a GPU until "
        "they converge, which short sequences do after other numbers of steps. Feasible is read as below quadratic "
        f"growth, and Table V's growth as up to {CLOSE:g} times the table's, bounds set here."
    )
    return concluded(parts, evidence, limits, stand_in="on a CPU")


def attention_by_distance(context: ClaimContext) -> ClaimResult:
    """Compare the reach of attention of models that ``bench train`` made here, on sparse and on dense data."""
    found = {name: _attention(context, name) for name in ("amazon-games", "movielens-100k")}
    evidence = tuple(
        Evidence(f"{name}, block {number}: share of attention on the latest 5 of 15 items", fmean(shares))
        for name, trainings in found.items()
        for number, shares in enumerate(zip(*trainings, strict=True), 1)
    )
    if not all(found.values()):
        missing = " and ".join(name for name, trainings in found.items() if not trainings)
        limits = f"Needs trained models: bench train --paper sasrec --dataset D for D = {missing}, in this folder."
        return ClaimResult("untested", evidence, limits)
    sparse, dense = (zip(*trainings, strict=True) for trainings in found.values())
    parts: dict[str, bool | None] = {
        f"the order in block {number}": min(recent) > max(far)
        for number, (recent, far) in enumerate(zip(sparse, dense, strict=True), 1)
    }
    numbers = " and ".join(f"{len(trainings)} of {name}" for name, trainings in found.items())
    limits = (
        f"Models: {numbers}; the last position of users with 15 or more actions, mean over users. The paper shows "
        "Beauty and MovieLens-1M; MovieLens-100K stands for the latter."
    )
    return concluded(parts, evidence, limits, stand_in="on smaller data")


def _attention(context: ClaimContext, dataset: str) -> list[list[float]]:
    """Return the share in each block that each training on a data set left."""
    return [
        [sum(weights[:5]) / sum(weights[:15]) for weights in profiles]
        for model in context.trained()
        if model.dataset == dataset and (profiles := model.figures.get("attention_by_distance"))
    ]
