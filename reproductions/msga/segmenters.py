"""The networks of the paper's ablations at an eighth of its width, and U-Nets of equal size, to train."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.msga.losses import GUIDE, RECONSTRUCTION, losses, pairs
from claimbench.reproductions.msga.model import build

DIM = 8
"""Channels of a scale: an eighth of the paper's 64."""

BACKBONE = {"layers": [2, 2, 2, 2], "planes": 8, "groups": 4, "group_width": 4}
"""An eighth of ResNeXt-101 32x4d in width and in groups, of fewer blocks."""

DUAL = {"attention": "dual", "shared_gate": True}
GUIDED = DUAL | {"guided": True, "steps": 2}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "daf": {"attention": "convolution"},
    "pam": {"attention": "position"},
    "cam": {"attention": "channel"},
    "pam_cam": {"attention": "danet"},
    "ms_dual": DUAL | {"guided": False, "steps": 2},
    "guided": GUIDED,
    "guided_1": GUIDED | {"steps": 1},
    "guided_3": GUIDED | {"steps": 3},
    "no_guide_loss": GUIDED,
    "no_reconstruction_loss": GUIDED,
}
"""The ladder of Table 1, the steps of Table 2, and the network without one of its losses."""

LOSSES = {"guide": GUIDE, "reconstruction": RECONSTRUCTION}
"""The further losses and their weights."""

U_NETS = ("unet", "attention_unet")
ARMS = (*NETWORKS, *U_NETS)


def network(arm: str, channels: int, classes: int) -> nn.Module:
    """Return the network of an arm for pictures (B, channels, H, W), H and W multiples of 32."""
    if arm in U_NETS:
        return UNet(channels, classes, _width(channels, classes, arm == "attention_unet"), arm == "attention_unet")
    return build({"in_chans": channels, "num_classes": classes, "dim": DIM, "backbone": BACKBONE, **NETWORKS[arm]})


def loss(arm: str, output: Any, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the loss of an arm's output in train mode: the paper's three parts, or cross entropy of a U-Net's.

    Cross entropies weigh the classes by ``weights`` (classes,).
    """
    if arm in U_NETS:
        return F.cross_entropy(output, labels, weights)
    guide, reconstruction = (0.0 if arm == f"no_{name}_loss" else weight for name, weight in LOSSES.items())
    return losses(output["logits"], labels, *pairs(output), guide, reconstruction, weights)["total"]


@cache
def _width(channels: int, classes: int, gated: bool) -> float:
    """Return the width at which a U-Net has as many parameters as MS-Dual-Guided, as nearly as whole channels allow."""
    wanted = _parameters(lambda: network("guided", channels, classes))
    widths = [quarter / 4 for quarter in range(16, 200)]

    def count(width: float) -> int:
        return _parameters(lambda: UNet(channels, classes, width, gated))

    place = bisect_left(widths, wanted, key=count)
    return min(widths[max(0, place - 1) : place + 1], key=lambda width: abs(count(width) - wanted))


def _parameters(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())


class UNet(nn.Module):
    """U-Net (arXiv 1505.04597), or with ``gated`` Attention U-Net (arXiv 1804.03999), of four levels with norms.

    (B, channels, H, W) to (B, classes, H, W), H and W multiples of 8; ``width`` times 1, 2, 4 and 8 channels.
    """

    def __init__(self, channels: int, classes: int, width: float, gated: bool) -> None:
        super().__init__()
        widths = [round(width * 2**level) for level in range(4)]
        inputs = [channels, *widths]
        self.down = nn.ModuleList(_convs(before, after) for before, after in zip(inputs, widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2) for i in range(3))
        self.join = nn.ModuleList(_convs(2 * widths[i], widths[i]) for i in range(3))
        self.gates = nn.ModuleList(Gate(widths[i]) for i in range(3)) if gated else None
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        maps = []
        for level, layers in enumerate(self.down):
            x = layers(F.max_pool2d(x, 2) if level else x)
            maps.append(x)
        for level in reversed(range(3)):
            x, skip = self.up[level](x), maps[level]
            if self.gates is not None:
                skip = self.gates[level](skip, x)
            x = self.join[level](torch.cat((skip, x), 1))
        return self.head(x)


class Gate(nn.Module):
    """The additive attention gate: a weight for each position of a skip, from itself and the map that it joins."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip, self.gate = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.weight = nn.Conv2d(channels, 1, 1)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        """Return the weighted skip (B, C, H, W)."""
        return skip * torch.sigmoid(self.weight(F.relu(self.skip(skip) + self.gate(x))))


def _convs(inputs: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, channels):
        layers += [nn.Conv2d(width, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
