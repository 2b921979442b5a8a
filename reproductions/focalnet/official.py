"""The layout of the official FocalNet checkpoints (microsoft/FocalNet, ``model`` entry)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.focalnet.model import build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^embeds\.0\.conv\.", "patch_embed.proj."),
    (r"^embeds\.0\.norm\.", "patch_embed.norm."),
    (r"^embeds\.(\d+)\.", lambda embed: f"layers.{int(embed[1]) - 1}.downsample."),
    (r"\.downsample\.conv\.", ".downsample.proj."),
    (r"^stages\.(\d+)\.", r"layers.\1.blocks."),
    (r"\.modulation\.project_in\.", ".modulation.f."),
    (r"\.modulation\.levels\.(\d+)\.", r".modulation.focal_layers.\1.0."),
    (r"\.modulation\.modulator\.", ".modulation.h."),
    (r"\.modulation\.norm\.", ".modulation.ln."),
    (r"\.modulation\.project_out\.", ".modulation.proj."),
    (r"\.scale([12])\.gamma$", r".gamma_\1"),
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
