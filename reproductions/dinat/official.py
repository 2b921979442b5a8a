"""The official checkpoint layouts: classification/nat.py, dinat.py, dinats.py and isotropic.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.dinat.model import DiNAT, build
from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.map_attention import relative_position_index

__all__ = ["from_official", "outputs"]

# Ours are NAT's names; the other families have no levels, or call them layers.
_RULES: dict[str, tuple[Rule, ...]] = {
    "NAT": (),
    "DiNAT": (),
    "DiNAT_s": ((r"^levels\.", "layers."),),
    "isotropic": ((r"^levels\.0\.blocks\.", "layers."),),
}
_INDEX = ".relative_position_index"


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The number of classes (ImageNet-22K heads, or no head) follows from the state, and so does the kernel size, since
    checkpoints are published with their position bias interpolated for larger windows. The bias of full attention says
    how large its grid is.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, an index of relative positions is
            not the one that belongs to the grid, or the form does not exist.
    """
    config = dict(config)
    weight, table = state.get("head.weight"), next((t for n, t in state.items() if n.endswith("attn.rpb")), None)
    if not any(name.startswith("head.") for name in state):
        config["num_classes"] = 0
    elif weight is not None and weight.dim() == 2:
        config["num_classes"] = len(weight)
    if table is not None and table.dim() == 3:
        reach = (table.shape[-1] + 1) // 2
        if config["family"] == "isotropic" and config.get("kernel_size") is None:
            config["img_size"] = reach * config.get("patch_size", 16)
        else:
            config["kernel_size"] = reach
    model = build(config, form or "model")
    return load_official(model, _without_indices(state, model), _RULES[config["family"]])


def _without_indices(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the state without the constant indices of full attention, after a check of their values."""
    assert isinstance(model, DiNAT)
    expected = None if model.grid is None else relative_position_index(model.grid)
    for name, index in state.items():
        if name.endswith(_INDEX) and (expected is None or not torch.equal(index.cpu(), expected)):
            raise ValueError(f"{name} is not the index of relative positions (key minus query) of this model's grid")
    return {name: tensor for name, tensor in state.items() if not name.endswith(_INDEX)}


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``, ``features`` (pooled) and ``level1`` to the last one."""
    assert isinstance(model, DiNAT)
    maps = model.forward_features(x)
    features = model.pool(maps[-1].permute(0, 2, 3, 1))
    named = {f"level{i}": each for i, each in enumerate(maps, start=1)}
    return {**named, "features": features, "logits": model.head(features)}
