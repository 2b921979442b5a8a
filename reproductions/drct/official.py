"""The official checkpoint layout of DRCT (drct/archs/DRCT_arch.py of ming053l/DRCT, trained with BasicSR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from claimbench.reproductions.drct.model import DRCT, build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^shallow\.", "conv_first."),
    (r"^embed_norm\.", "patch_embed.norm."),
    (r"^after_body\.", "conv_after_body."),
    (r"^before_upsample\.", "conv_before_upsample."),
    (r"^last\.", "conv_last."),
    (r"^groups\.(\d+)\.blocks\.(\d+)\.", lambda at: f"layers.{at[1]}.swin{int(at[2]) + 1}."),
    (r"^groups\.(\d+)\.transitions\.(\d+)\.", lambda at: f"layers.{at[1]}.adjust{int(at[2]) + 1}."),
    (r"\.attn\.table$", ".attn.relative_position_bias_table"),
)
_CONSTANTS = (".attn_mask", ".relative_position_index")
"""Buffers that the official constructor fills: the masks of shifted windows at ``img_size``, and offsets."""

_WRAPPERS = ("params_ema", "params")
"""The entries under which BasicSR saves a state dict, the averaged one first."""


def from_official(config: Mapping[str, Any], state: Mapping[str, Any], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict, bare or as BasicSR wraps it.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    for wrapper in _WRAPPERS:
        if isinstance(inner := state.get(wrapper), Mapping):
            state = inner
    model = build(config, form or "model")
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(_CONSTANTS)}
    shapes = {
        name: (*parameter.shape, 1, 1)
        for name, parameter in model.named_parameters()
        if ".transitions." in name and name.endswith("weight")
    }
    return load_official(model, weights, _RULES, shapes)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``sr``, and ``rdg1``... as tokens (B, H W, C)."""
    result, maps = cast(DRCT, model).with_maps(*inputs)
    return {"sr": result} | {f"rdg{i}": each.flatten(1, 2) for i, each in enumerate(maps, 1)}
