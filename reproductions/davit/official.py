"""The checkpoint layouts of DaViT: the official one (timm/models/davit.py of dingmyu/davit) and today's timm's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.davit.model import build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_OFFICIAL: tuple[Rule, ...] = (
    (r"^embeds\.(\d+)\.conv\.", r"patch_embeds.\1.proj."),
    (r"^embeds\.", "patch_embeds."),
    (r"^stages\.", "main_blocks."),
    (r"\.encode1\.", ".cpe.0.proj."),
    (r"\.encode2\.", ".cpe.1.proj."),
    (r"^norm\.", "norms."),
)
_TIMM: tuple[Rule, ...] = (
    (r"^stages\.(\d+)\.", r"stages.\1.blocks."),
    (r"^embeds\.0\.", "stem."),
    (r"^embeds\.(\d+)\.", r"stages.\1.downsample."),
    (r"\.encode([12])\.", r".cpe\1.proj."),
    (r"^head\.", "head.fc."),
    (r"^norm\.", "head.norm."),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict, or of one in timm's layout.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    rules = _TIMM if any(name.startswith("stem.") for name in state) else _OFFICIAL
    return load_official(build(config, form or "model"), state, rules)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``."""
    return {"logits": model(*inputs)}
