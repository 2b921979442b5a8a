"""The official checkpoint layout of ConViT (models.py and convit.py of the official repository)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.convit.model import build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^patch_embed\.", "patch_embed.proj."),
    (r"\.attn\.position\.", ".attn.pos_proj."),
    (r"\.attn\.gate$", ".attn.gating_param"),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The input size follows from the position embedding, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    config = dict(config)
    if "pos_embed" in state:
        config["img_size"] = config.get("patch_size", 16) * math.isqrt(state["pos_embed"].shape[1])
    return load_official(build(config, form or "model"), state, _RULES)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``."""
    return {"logits": model(x)}
