"""The official checkpoint layout of ConViT (models.py and convit.py of the official repository)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from reproductions.convit.model import build

# Official name -> ours; everything else has the same name.
_RENAMES = (
    (re.compile(r"^patch_embed\.proj\."), "patch_embed."),
    (re.compile(r"\.attn\.pos_proj\."), ".attn.position."),
    (re.compile(r"\.attn\.gating_param$"), ".attn.gate"),
)


def _rename(name: str) -> str:
    for pattern, ours in _RENAMES:
        name = pattern.sub(ours, name)
    return name


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Build the model that the official ``state`` describes and load it strictly.

    The input size follows from the position embedding, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries are missing, unknown or of the wrong shape; the message names them.
    """
    config = dict(config)
    if "pos_embed" in state:
        config["img_size"] = config.get("patch_size", 16) * math.isqrt(state["pos_embed"].shape[1])
    model = build(config, form or "model")
    try:
        # Assigned, not copied into float32 parameters: the checkpoint's precision is kept.
        model.load_state_dict({_rename(name): tensor for name, tensor in state.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not have ConViT's official layout: {error}") from error
    return model


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: the logits."""
    return {"logits": model(x)}
