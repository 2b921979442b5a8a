"""The experiments behind the headline claims of attentive convolution."""

from __future__ import annotations

from functools import partial

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.attnet.atconv import ATConv
from claimbench.reproductions.attnet.model import build
from claimbench.reproductions.attnet.sampling import sample
from claimbench.reproductions.attnet.sit import Attention, SiT
from claimbench.reproductions.costs import (
    GLOBAL_SIDES,
    HOW_GROWN,
    LOCAL_SIDES,
    growths,
    macs,
    parameters,
    stand_in_for_gpu,
    times,
)
from claimbench.reproductions.judging import concluded, grown, linear, measured, quadratic

WIDTH, HEADS = 64, 2
S2 = {"architecture": "sit", "depth": 12, "hidden_size": 384, "num_heads": 6}
SMALL = {"architecture": "sit", "depth": 4, "hidden_size": 192, "num_heads": 3}


def cost_is_linear(context: ClaimContext) -> ClaimResult:
    """Compare the growth of the cost of ATConv and of softmax attention with the number of positions."""
    ours = growths(lambda: ATConv(WIDTH), {side**2: (1, side, side, WIDTH) for side in LOCAL_SIDES})
    theirs = growths(lambda: Attention(WIDTH, HEADS), {side**2: (1, side, side, WIDTH) for side in GLOBAL_SIDES})
    limits = (
        f"{HOW_GROWN} Attention runs in PyTorch's fused kernel; only with its scores written out is memory quadratic."
    )
    parts = linear(ours) | quadratic(theirs, "attention's")
    evidence = [*grown("ATConv", ours), *grown("attention", theirs)]
    return concluded(parts, evidence, limits, main=["MACs", "attention's MACs"])


def sit_samples_faster(context: ClaimContext) -> ClaimResult:
    """Compare SiT with ATConv and with attention: cost and throughput at S/2, sampling time of a small network."""
    evidence = []
    for name, mixer in (("ATConv", "atconv"), ("attention", "attention")):
        model = build(S2 | {"mixer": mixer})
        evidence += [
            Evidence(f"SiT-S/2 with {name}: parameters", parameters(model), "params"),
            Evidence(f"SiT-S/2 with {name}: multiply-adds", macs(model, (1, 4, 32, 32)), "MAC"),
        ]
    ours, theirs = (context.measure(variant, "model", "throughput") for variant in ("sit_atconv_s2", "sit_s2"))
    speedup = ours / theirs if ours and theirs else None
    evidence.append(Evidence("SiT-S/2: throughput with ATConv over that with attention", speedup))
    noise, y = torch.randn(2, 4, 32, 32), torch.zeros(2, dtype=torch.long)
    runs = {}
    for mixer in ("atconv", "attention"):
        small = build(SMALL | {"mixer": mixer}).eval()
        assert isinstance(small, SiT)
        runs[mixer] = partial(sample, small, noise, y, steps=2, guidance=1.8)
    seconds = times(runs)
    small_speedup = seconds["attention"] / seconds["atconv"]
    evidence.append(
        Evidence("guided sampling of a small network, CPU: time with attention over ATConv's", small_speedup)
    )
    parts = measured(small_speedup, "as fast sampling of a small network", lambda ratio: ratio > 1)
    parts |= measured(speedup, "throughput of S/2", lambda ratio: ratio > 1)
    limits = "Random weights, equal settings, no autoencoder; the FID side of the claim needs ImageNet."
    return concluded(parts, evidence, limits, stand_in=stand_in_for_gpu())
