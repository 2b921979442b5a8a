"""The official checkpoints of Vim, VMamba, VM-UNet and U-Mamba; the layouts are those of ``layouts.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import load_official
from claimbench.reproductions.mamba_medical.layouts import (
    OVERLAPPED,
    VANILLA,
    VIM,
    VMUNET,
    State,
    as_today,
    once,
    umamba_rules,
    with_positions,
)
from claimbench.reproductions.mamba_medical.model import build
from claimbench.reproductions.mamba_medical.parts import PARTS
from claimbench.reproductions.mamba_medical.umamba import UMamba
from claimbench.reproductions.mamba_medical.vim import Vim
from claimbench.reproductions.mamba_medical.vmamba import VMamba
from claimbench.reproductions.mamba_medical.vmunet import VMUNet
from claimbench.reproductions.watching import watched

__all__ = ["PARTS", "from_official", "from_vmamba", "outputs"]


def from_official(config: Mapping[str, Any], state: State, form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    VMamba's names of earlier releases are read too. A Vim has as many positions as the state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    family = config.get("family")
    if family == "vim" and "pos_embed" in state:
        config = with_positions(config, state["pos_embed"].shape[1] - 1)
    model = build(config, form or "model")
    if isinstance(model, VMamba):
        return load_official(model, as_today(state), OVERLAPPED if config.get("overlapped") else VANILLA)
    if isinstance(model, UMamba):
        return load_official(model, once(state), umamba_rules(config["kind"]))
    return load_official(model, state, VIM if isinstance(model, Vim) else VMUNET)


def from_vmamba(config: Mapping[str, Any], state: State) -> VMUNet:
    """Return the VM-UNet of ``config`` as its training starts: with the weights of a vanilla VMamba classifier.

    The encoder takes the patch embedding, the down-sampling and the first blocks of each stage; the decoder takes the
    first blocks of the stage of its width. Enlargements and the head keep their random start.

    Raises:
        ValueError: the classifier lacks an entry, or has one of another shape.
    """
    model = build(config)
    assert isinstance(model, VMUNet)
    last, own = len(model.stages) - 1, model.state_dict()
    sources = {}
    for name in own:
        mirrored = re.sub(r"^decoder\.(\d+)\.", lambda found: f"stages.{last - int(found[1])}.", name)
        if not mirrored.startswith(("expands.", "final_expand.", "head.")):
            sources[name] = mirrored
    given = as_today(state)
    for name, source in sources.items():
        for pattern, replacement in VANILLA:
            source = re.sub(pattern, replacement, source)
        if source not in given or given[source].shape != own[name].shape:
            problem = "is missing" if source not in given else f"has shape {tuple(given[source].shape)}"
            raise ValueError(f"the VMamba checkpoint does not fit this VM-UNet: {source} {problem}")
        own[name] = given[source]
    model.load_state_dict(own)
    return model


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``logits``; Vim's ``features``; ``stage1`` to ``stage4`` of VMamba, behind their down-sampling and in the layout of
    the official network; the ``probability`` of a VM-UNet of one class; each scale of a U-Mamba as ``seg_0``, ...
    """
    if isinstance(model, Vim):
        features = model.features(x)
        return {"features": features, "logits": model.head(features)}
    if isinstance(model, VMamba):
        stages = (*model.downsamples, model.stages[-1])
        with watched({f"stage{i}": stage for i, stage in enumerate(stages, 1)}) as found:
            logits = model(x)
        if model.patch_embed.overlapped:
            found = {name: each.permute(0, 3, 1, 2) for name, each in found.items()}
        return {**found, "logits": logits}
    if isinstance(model, UMamba):
        scales = model.scales(x)
        return {"logits": scales[0], **{f"seg_{i}": each for i, each in enumerate(scales)}}
    logits = model(x)
    return {"logits": logits, "probability": logits.sigmoid()} if logits.shape[1] == 1 else {"logits": logits}
