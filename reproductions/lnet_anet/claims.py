"""The experiments behind the headline claims of LNets and ANet that need no pictures of faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import one_thread, stand_in_for_gpu, times
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.lnet_anet.model import ANet

STRIDES = (1, 2, 4, 8)
REGION, PATCH = 80, 56
PAPER = 6.0
NEAR = 0.7
"""The share of the paper's factor from which on a measured one counts as about as large."""

CLOSE = 1e-4
"""The largest difference of features, over their norm, that float32 rounding explains."""


def interweaved_against_patches(context: ClaimContext) -> ClaimResult:
    """Time both evaluations of one ANet on a face region in turn, at four distances between patches."""
    torch.manual_seed(0)
    region = torch.rand(1, 3, REGION, REGION)
    runs: dict[str, Callable[[], object]] = {}
    gaps = []
    for stride in STRIDES:
        fast = ANet(patch=PATCH, stride=stride).eval()
        slow = ANet(patch=PATCH, stride=stride, form="patches").eval()
        slow.load_state_dict(fast.state_dict())
        with torch.no_grad():
            found, expected = fast.forward_features(region), slow.forward_features(region)
        gaps.append(float((found - expected).norm() / expected.norm()))
        runs |= {f"fast {stride}": partial(fast, region), f"slow {stride}": partial(slow, region)}
    with one_thread():
        seconds = times(runs, repeats=3)
    ratios = {stride: seconds[f"slow {stride}"] / seconds[f"fast {stride}"] for stride in STRIDES}
    evidence = [
        Evidence(
            f"patch by patch over interweaved, patches {stride} px apart",
            ratio,
            "",
            "6" if stride == STRIDES[0] else "",
        )
        for stride, ratio in ratios.items()
    ]
    evidence.append(Evidence("largest difference of features, relative", max(gaps)))
    slower = [stride for stride, ratio in ratios.items() if ratio < 1]
    closest = ratios[STRIDES[0]]
    crossing = f"from {slower[0]} px on interweaving is slower" if slower else "interweaving is faster at all of them"
    parts: dict[str, bool | None] = {
        "equal features": max(gaps) < CLOSE,
        f"a factor of about {PAPER:g} ({closest:.1f} with patches {STRIDES[0]} px apart)": closest >= NEAR * PAPER,
    }
    limits = (
        f"Not CelebA and not the paper's network: an ANet of this suite's sizes on random pixels, {REGION}x{REGION}, "
        f"with patches of {PATCH}x{PATCH}; {crossing}. The paper says neither how far apart its patches are nor which "
        "GPU it ran on."
    )
    return concluded(parts, evidence, limits, main=("equal features",), stand_in=stand_in_for_gpu())
