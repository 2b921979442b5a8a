"""The experiments behind the headline claims of attentive convolution."""

from __future__ import annotations

from functools import partial

import torch

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.attnet.atconv import ATConv
from claimbench.reproductions.attnet.model import build
from claimbench.reproductions.attnet.sampling import sample
from claimbench.reproductions.attnet.sit import Attention, SiT
from claimbench.reproductions.costs import growth, macs, parameters, times

WIDTH, HEADS = 64, 2
SIDES = (14, 28, 56)
S2 = {"architecture": "sit", "depth": 12, "hidden_size": 384, "num_heads": 6}
SMALL = {"architecture": "sit", "depth": 4, "hidden_size": 192, "num_heads": 3}


def cost_is_linear(context: ClaimContext) -> ClaimResult:
    """Compare the growth of the cost of ATConv and of softmax attention with the number of positions."""
    positions = tuple(side**2 for side in SIDES)
    powers, evidence = {}, []
    for name, make in (("ATConv", lambda: ATConv(WIDTH)), ("attention", lambda: Attention(WIDTH, HEADS))):
        work = tuple(float(macs(make(), (1, side, side, WIDTH))) for side in SIDES)
        layer = make()
        inputs = [torch.randn(1, side, side, WIDTH) for side in SIDES[-2:]]
        seconds = times({str(x.shape[1]): partial(layer, x) for x in inputs}, repeats=3)
        powers[name] = growth(positions, work)
        evidence += [
            Evidence(f"{name}: multiply-adds grow with the positions to the power of", powers[name]),
            Evidence(f"{name}: CPU time grows to the power of", growth(positions[-2:], tuple(seconds.values()))),
        ]
    linear = abs(powers["ATConv"] - 1) < 0.01 < powers["attention"] - 1
    limits = (
        f"Counted from {SIDES[0]} to {SIDES[-1]} positions a side at {WIDTH} channels; memory was not measured here."
    )
    return ClaimResult("holds" if linear else "fails", tuple(evidence), limits)


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
    limits = "Random weights, equal settings, no autoencoder; the FID side of the claim needs ImageNet."
    if speedup is None:
        limits += " Only a small network was timed."
        return ClaimResult("partly" if small_speedup > 1 else "fails", tuple(evidence), limits)
    return ClaimResult("holds" if speedup > 1 else "fails", tuple(evidence), limits)
