"""Checkpoint layouts: the PyTorch port (kazuto1011/deeplab-pytorch) for ResNet, Caffe's layer names for VGG-16.

The port's multi-scale model keeps the network under ``base.``; single-scale checkpoints have no prefix. The authors
name the last layer after the data set (``fc8_voc12``, ``fc8_pascal``, ...) and number the branches of ASPP
(``fc6_1`` to ``fc6_4``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.deeplab.model import MultiScale, build, upsample
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RESNET: tuple[Rule, ...] = (
    (r"^(network\.)?backbone\.stem\.", r"\1layer1.conv1."),
    (
        r"^(network\.)?backbone\.stages\.(\d+)\.(\d+)\.",
        lambda m: f"{m[1] or ''}layer{int(m[2]) + 2}.block{int(m[3]) + 1}.",
    ),
    (r"^(network\.)?head\.branches\.(\d+)\.", r"\1aspp.c\2."),
    (r"\.atrous\.", ".conv3x3."),
    (r"\.expand\.", ".increase."),
    (r"\.norm\.", ".bn."),
)
_ONE_BY_ONE: tuple[Rule, ...] = ((r"^(network\.)?head\.branches\.0\.", r"\1fc."),)
"""The port's name for the head of its ``DeepLabV1``."""


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    If ``form`` is None, names that begin with ``base.`` give the multi-scale model, others the single-scale one.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    prefix = "base." if any(name.startswith("base.") for name in state) else ""
    model = build(config, form or ("msc" if prefix else "single"))
    if "n_blocks" in config:
        rules = (*_ONE_BY_ONE, *_RESNET) if config.get("kernel") == 1 else _RESNET
    else:
        rules = _vgg(state, len(config["atrous_rates"]))
    return load_official(model, state, (*rules, (r"^network\.", ""), (r"^", prefix)))


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return scores at an eighth of the size (``logits``) and at the picture's (``output``), and of each scale."""
    logits = model(x)
    named = {"logits": logits, "output": upsample(logits, x.shape[2:])}
    if isinstance(model, MultiScale):
        names = ["logits_100", *(f"logits_{round(100 * scale):03}" for scale in model.scales)]
        named |= dict(zip(names, model.scores(x), strict=True))
    return named


def _vgg(state: Mapping[str, Tensor], branches: int) -> tuple[Rule, ...]:
    """Return the rules of a Caffe layout; the name of the last layer is that of the checkpoint."""
    number = r"_(\d+)" if branches > 1 else ""
    found = (re.match(rf"^(?:base\.)?fc8(_\w+?)?{number}\.", name) for name in state)
    named = next((match[1] or "" for match in found if match), "")
    return (
        (r"^(network\.)?backbone\.stages\.(\d+)\.(\d+)\.", lambda m: f"conv{int(m[2]) + 1}_{int(m[3]) + 1}."),
        (
            r"^(network\.)?head\.branches\.(\d+)\.(fc\d)\.",
            lambda m: f"{m[3]}{named if m[3] == 'fc8' else ''}{f'_{int(m[2]) + 1}' if branches > 1 else ''}.",
        ),
    )
