"""The experiments behind EViT's headline claims."""

from __future__ import annotations

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import stand_in_for_gpu
from claimbench.reproductions.judging import concluded

UNPRUNED = "deit_small_patch16_224"
PRUNED = {0.9: 3197, 0.8: 3619, 0.7: 4385, 0.6: 4722, 0.5: 5408}
"""Keep rates and the throughput that the README's table gives for the fused models, images a second."""

HALF_FASTER = 1.45
"""The least speed-up that is read as 50 %."""


def _name(rate: float) -> str:
    return f"evit_deit_small_k{rate}_fused"


def keep_rate_cost(context: ClaimContext) -> ClaimResult:
    """Compare DeiT-S at every keep rate with the unpruned model in the same run: multiply-adds, throughput, memory."""
    evidence, speed_up = [], None
    for rate in PRUNED:
        for metric in ("macs", "throughput", "memory_peak"):
            pruned = context.measure(_name(rate), "model", metric)
            whole = context.measure(UNPRUNED, "model", metric)
            ratio = pruned / whole if pruned is not None and whole else None
            said = "1.50" if (metric, rate) == ("throughput", 0.7) else ""
            evidence.append(Evidence(f"keep rate {rate}: {metric} over the unpruned model's", ratio, "", said))
            if said:
                speed_up = ratio
    limits = (
        "The speed-up alone: that top-1 falls by only 0.3 points needs ImageNet-1K and the official weights. The "
        "source names neither GPU nor batch, and a batch of a few images on a CPU gains less than a full GPU. "
        f"From {HALF_FASTER:g} times on it is read as 50 % faster."
    )
    if speed_up is None:
        return ClaimResult("untested", tuple(evidence), f"{_name(0.7)} and {UNPRUNED} were not timed in one run.")
    parts: dict[str, bool | None] = {
        f"{speed_up:.2f}x as fast": speed_up > 1,
        "50 % faster": speed_up >= HALF_FASTER,
        "accuracy": None,
    }
    device = stand_in_for_gpu()
    return concluded(parts, evidence, limits, main=[] if device else ["50 % faster"], stand_in=device)


def no_parameters(context: ClaimContext) -> ClaimResult:
    """Compare the parameters of the reorganising model with those of DeiT-S."""
    ours, theirs = context.measure(_name(0.7), "model", "params"), context.measure(UNPRUNED, "model", "params")
    evidence = (
        Evidence("EViT-DeiT-S parameters", ours, "params", "22.1 M"),
        Evidence("DeiT-S parameters", theirs, "params", "22.1 M"),
    )
    if ours is None or theirs is None:
        return ClaimResult("untested", evidence, "The parameters of one of the two models were not counted.")
    return ClaimResult("holds" if ours == theirs else "fails", evidence, "")
