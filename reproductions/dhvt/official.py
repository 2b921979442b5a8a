"""The layout of the official DHVT code's state dicts (ArieSeirack/DHVT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.dhvt.model import build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^embed\.convs\.(\d+)\.", lambda conv: f"patch_embed.proj.{2 * int(conv[1])}.0."),
    (r"^embed\.norms\.(\d+)\.", lambda norm: f"patch_embed.proj.{2 * int(norm[1])}.1."),
    (r"^embed\.before\.", "patch_embed.pre_affine."),
    (r"^embed\.after\.", "patch_embed.post_affine."),
    (r"_affine\.scale$", "_affine.alpha"),
    (r"_affine\.shift$", "_affine.beta"),
    (r"\.attention\.", ".attn."),
    (r"\.head_tokens\.position$", ".pos_embed"),
    (r"\.head_tokens\.project\.", ".ht_proj."),
    (r"\.head_tokens\.norm\.", ".ht_norm."),
    (r"\.attn\.project\.", ".attn.proj."),
    (r"\.feed_forward\.", ".mlp."),
    (r"\.mlp\.expand\.", ".mlp.conv1."),
    (r"\.mlp\.depthwise\.", ".mlp.conv2."),
    (r"\.mlp\.reduce\.", ".mlp.conv3."),
    (r"\.mlp\.norm([123])\.", r".mlp.bn\1."),
    (r"\.mlp\.squeeze\.", ".mlp.compress."),
    (r"\.mlp\.excite\.", ".mlp.excitation."),
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
