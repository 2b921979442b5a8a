"""The layout of the official NiNformer code's state dicts (Abdullah-88/NiNformer, train.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.ninformer.model import build

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^embed\.", "patcher."),
    (r"^head\.", "classifier."),
    (r"^blocks\.", "model."),
    (r"\.gate\.project\.", ".mgu.proj."),
    (r"\.gate\.mixer\.(token|channel)_norm\.", r".mgu.Mixer.\1_mix.0."),
    (r"\.gate\.mixer\.token_mlp\.", ".mgu.Mixer.token_mix.2."),
    (r"\.gate\.mixer\.channel_mlp\.", ".mgu.Mixer.channel_mix.1."),
    (r"^model\.(\d+)\.mlp\.", r"model.\1.ffn."),
    (r"\.fc1\.", ".net.0."),
    (r"\.fc2\.", ".net.3."),
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
