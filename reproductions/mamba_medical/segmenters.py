"""Small networks of equal size to train on slabs of one head: with Mamba and without, on slices and on volumes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.mamba_medical.umamba import UMamba
from claimbench.reproductions.mamba_medical.vmunet import VMUNet

SLICES = {"residual_unet": "plain", "umamba_bot": "Bot", "umamba_enc": "Enc"}
VOLUMES = {"residual_unet_3d": "plain", "umamba_bot_3d": "Bot", "umamba_enc_3d": "Enc"}
ARMS = (*SLICES, "vmunet", *VOLUMES)

SIZE = (8, 128, 128)
"""Depth, height and width for which the mixers are placed: no stage has as few positions as channels."""

STRIDES = (1, 2, 2, 2)
KERNEL = 3


def network(arm: str, channels: int, classes: int) -> nn.Module:
    """Return the network of an arm: for slices (B, channels, H, W), or volumes (B, channels, D, H, W).

    H and W are multiples of 32, D of 4. All have as many parameters as VM-UNet, within 2 %.
    """
    if arm == "vmunet":
        return VMUNet([1, 1, 1, 1], [1, 1, 1, 1], embed_dim=12, d_state=8, num_classes=classes, in_chans=channels)
    return _umamba(arm, channels, classes, _width(arm, channels, classes))


def _umamba(arm: str, channels: int, classes: int, width: float) -> UMamba:
    """Return U-Mamba, or the residual U-Net without mixers, of ``width`` channels at full size."""
    volumes = arm in VOLUMES
    dim = 3 if volumes else 2
    model = UMamba(
        (VOLUMES if volumes else SLICES)[arm],
        SIZE[-dim:],
        features=[round(width * 2**stage) for stage in range(len(STRIDES))],
        kernels=[[KERNEL] * dim] * len(STRIDES),
        strides=[
            [max(1, stride // 2) if volumes and i == 1 else stride, stride, stride][-dim:]
            for i, stride in enumerate(STRIDES)
        ],
        blocks=1,
        decoder_blocks=1,
        num_classes=classes,
        in_channels=channels,
    )
    model.fixed_size = None  # every mixer takes positions for tokens, of which there may be any number
    return model


@cache
def _width(arm: str, channels: int, classes: int) -> float:
    """Return the width at which an arm is as large as VM-UNet, as nearly as whole channels allow."""
    wanted = _parameters(lambda: network("vmunet", channels, classes))
    widths = [eighth / 8 for eighth in range(16, 160)]

    def count(width: float) -> int:
        return _parameters(lambda: _umamba(arm, channels, classes, width))

    place = bisect_left(widths, wanted, key=count)
    return min(widths[max(0, place - 1) : place + 1], key=lambda width: abs(count(width) - wanted))


def _parameters(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return parameters(make())
