"""The layout of the official VAN checkpoints (Visual-Attention-Network/VAN-Classification, ``state_dict`` entry)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.van.model import build

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^stages\.(\d+)", lambda stage: f"stages.{int(stage[1]) + 1}"),
    (r"^stages\.(\d+)\.embed\.", r"patch_embed\1.proj."),
    (r"^stages\.(\d+)\.embed_norm\.", r"patch_embed\1.norm."),
    (r"^stages\.(\d+)\.norm\.", r"norm\1."),
    (r"^stages\.(\d+)\.blocks\.", r"block\1."),
    (r"\.attention\.lka\.local\.", ".attn.spatial_gating_unit.conv0."),
    (r"\.attention\.lka\.dilated\.", ".attn.spatial_gating_unit.conv_spatial."),
    (r"\.attention\.lka\.pointwise\.", ".attn.spatial_gating_unit.conv1."),
    (r"\.attention\.project_in\.", ".attn.proj_1."),
    (r"\.attention\.project_out\.", ".attn.proj_2."),
    (r"\.feed_forward\.expand\.", ".mlp.fc1."),
    (r"\.feed_forward\.depthwise\.", ".mlp.dwconv.dwconv."),
    (r"\.feed_forward\.reduce\.", ".mlp.fc2."),
    (r"\.scale([12])$", r".layer_scale_\1"),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    return load_official(build(config, form or "model"), state, _RULES)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``."""
    return {"logits": model(*inputs)}
