"""The experiments behind DeepLab's headline claims."""

from __future__ import annotations

from statistics import mean

import torch
from torch import nn
from torch.nn import functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters, times
from claimbench.reproductions.deeplab import boundaries, scales
from claimbench.reproductions.deeplab.atrous import by_phases, gradient_span, span, with_holes_as_zeros
from claimbench.reproductions.deeplab.backbones import STRIDE
from claimbench.reproductions.deeplab.crf import CrfParameters, dense_crf
from claimbench.reproductions.deeplab.model import build
from claimbench.reproductions.judging import concluded

SMALLEST_FIELD = 32
"""The field of view of VGG's last features without holes, in pixels; Table 1 counts fields from there."""
ROWS = {
    "7x7, rate 4": (7, 4, 224),
    "4x4, rate 4": (4, 4, 128),
    "4x4, rate 8": (4, 8, 224),
    "3x3, rate 12": (3, 12, 224),
}
"""The rows of Table 1: kernel, rate and the reported field of view."""
ARMS = {"LargeFOV": (4,), "ASPP": (1, 2, 4, 6), "four branches of LargeFOV's rate": (4, 4, 4, 4)}
"""Rates on maps of stride 4. The last arm has ASPP's parameters, and no second rate."""
SEEDS = 3
TEST_PICTURES = 240
RESNET_CRF = CrfParameters(
    bilateral_weight=4, position_width=67, colour_width=3, spatial_weight=3, spatial_width=1, iterations=10
)
"""The parameters of the PyTorch port for ResNet-101."""


def field_of_view_is_free(context: ClaimContext) -> ClaimResult:
    """Count the cost of rates, and compare fields of view with Table 1 and atrous convolution with its equal forms."""
    evidence, agree = [], True
    cost = {}
    for name, (kernel, rate, reported) in ROWS.items():
        layer = nn.Conv2d(4, 4, kernel, padding=span(kernel, rate) // 2, dilation=rate)
        field = STRIDE * (gradient_span(layer, 4, 61) - 1) + SMALLEST_FIELD
        agree &= field == reported
        evidence.append(Evidence(f"field of view of {name}", field, "px", str(reported)))
    for rate in (4, 8):
        cost[rate] = _cost(rate)
        evidence += [
            Evidence(f"parameters of VGG-16 with 4x4 filters at rate {rate}", cost[rate][0], "params", "65.1 M"),
            Evidence(f"multiply-adds at rate {rate}, 306 pixels", cost[rate][1], "MAC"),
        ]
    difference = _largest_difference()
    evidence.append(Evidence("largest difference of the dense and the phase-split form, float64", difference))
    free = cost[4] == cost[8]
    limits = "Multiply-adds with the zeros of the padding count; the time of a pass is not part of the claim."
    return ClaimResult("holds" if free and agree and difference < 1e-10 else "fails", tuple(evidence), limits)


def _cost(rate: int) -> tuple[int, int]:
    """Return parameters and multiply-adds of VGG-16 with 4x4 filters."""
    config = {"n_classes": 21, "atrous_rates": [rate], "kernel": 4, "hidden": 4096}
    with torch.device("meta"):
        model = build(config | {"pool_kernel": 2, "average_pool": False})
    return parameters(model), macs(model, (1, 3, 306, 306))


def _largest_difference() -> float:
    """Return the largest difference of the two other forms from torch's convolution, over several kernels and rates."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for kernel, rate, _ in ROWS.values():
        x = torch.randn(1, 3, 41, 37, generator=generator, dtype=torch.float64)
        weight = torch.randn(4, 3, kernel, kernel, generator=generator, dtype=torch.float64)
        padding = span(kernel, rate) // 2
        atrous = F.conv2d(x, weight, padding=padding, dilation=rate)
        for form in (with_holes_as_zeros, by_phases):
            worst = max(worst, float((form(x, weight, rate, padding) - atrous).abs().max()))
    return worst


def pyramid_beats_single_rate(context: ClaimContext) -> ClaimResult:
    """Train the paper's heads on one small backbone, on digits of three scales; compare the scores by scale."""
    test = scales.scenes(TEST_PICTURES, 1000, training=False)
    found: dict[str, list[dict[int, float]]] = {name: [] for name in ARMS}
    for seed in range(SEEDS):
        data = scales.scenes(scales.PICTURES, seed, training=True)
        for name, rates in ARMS.items():
            found[name].append(scales.by_side(scales.trained(rates, data, seed), test))
    evidence = [
        Evidence(
            f"{name}, {f'digits of {side} px' if side else 'all digits'}",
            100 * mean(scores[side] for scores in runs),
            "% mIoU",
            {"LargeFOV": "65.76 on VOC 2012", "ASPP": "68.96 on VOC 2012"}.get(name, "") if side == 0 else "",
        )
        for side in (0, *scales.SIDES)
        for name, runs in found.items()
    ]
    single, pyramid, control = ([scores[0] for scores in runs] for runs in found.values())
    won, beyond = (sum(a > b for a, b in zip(pyramid, other, strict=True)) for other in (single, control))
    evidence += [
        Evidence(f"seeds of {SEEDS} in which ASPP beats LargeFOV", won),
        Evidence(f"seeds of {SEEDS} in which ASPP beats as many branches of one rate", beyond),
    ]
    parts = {
        f"better than one rate in {won} of {SEEDS} seeds": won * 2 > SEEDS,
        f"better than four equal branches in {beyond} of {SEEDS}": beyond == SEEDS,
    }
    limits = (
        f"A network of three small convolutions trained for {scales.STEPS} steps on digits laid on textures, not "
        "VGG-16 on VOC 2012. ASPP has three branches more than LargeFOV: what four branches of one rate gain too is "
        "not owed to the rates."
    )
    return concluded(parts, evidence, limits, main=list(parts)[:1], stand_in="on digits")


def crf_sharpens_boundaries(context: ClaimContext) -> ClaimResult:
    """Blur masks to the detail of stride 8, run the CRF with the port's parameters, and compare band by band."""
    runs = {name: boundaries.gains(scene, RESNET_CRF) for name, scene in boundaries.scenes().items()}
    gain = {w: 100 * mean(run[w][1] - run[w][0] for run in runs.values()) for w in next(iter(runs.values()))}
    evidence = []
    for width, points in gain.items():
        where = "everywhere" if width == boundaries.EVERYWHERE else f"within {width} px of boundaries"
        evidence += [
            Evidence(f"mIoU before the CRF {where}", 100 * mean(run[width][0] for run in runs.values()), "%"),
            Evidence(f"gain {where}", points, "points", "1.34 to 4.08 on VOC 2012" if "every" in where else ""),
        ]
    better = sum(run[boundaries.EVERYWHERE][1] > run[boundaries.EVERYWHERE][0] for run in runs.values())
    evidence.append(Evidence(f"pictures of {len(runs)} that get better", better))
    narrow, *_, everywhere = gain.values()
    gained = f"a gain of {everywhere:.1f} points"
    parts: dict[str, bool | None] = {
        gained: everywhere > 0,
        f"in {better} of {len(runs)} pictures": better == len(runs),
        "most at boundaries": narrow == max(gain.values()),
    }
    limits = (
        "Pieces of scikit-image's pictures with masks made by thresholding, so that boundaries lie where colours "
        "change; the scores are blurred masks and not a network's."
    )
    return concluded(parts, evidence, limits, main=[gained], stand_in="on blurred masks")


def crf_takes_half_a_second(context: ClaimContext) -> ClaimResult:
    """Time ten iterations of mean field on a picture of VOC's size with 21 classes; the frame rate is not tested."""
    from skimage import data

    picture = torch.from_numpy(data.coffee()[:375, :500].copy()).permute(2, 0, 1)
    scores = torch.randn(1, 21, 47, 63, generator=torch.Generator().manual_seed(0))
    unary = -F.interpolate(3 * scores, size=(375, 500), mode="bilinear").log_softmax(1)[0]
    seconds = times({"crf": lambda: dense_crf(unary, picture, RESNET_CRF)}, repeats=1)["crf"]
    evidence = (Evidence("CRF on 500x375 pixels, 21 classes, 10 iterations, this CPU", seconds, "s", "0.5 s"),)
    limits = "The paper does not name its processor, and a Titan X was not at hand for the 8 frames a second."
    parts = {f"{seconds:.2f} s of CRF": seconds <= 0.5, "8 frames a second on a Titan X": None}
    return concluded(parts, evidence, limits, stand_in="on this CPU")
