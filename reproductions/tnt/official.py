"""The official checkpoint layouts of TNT (tnt.py) and PyramidTNT (pyramid_tnt.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.tnt.model import build

__all__ = ["from_official", "outputs"]

_SHARED: tuple[Rule, ...] = (
    (r"^word_pos$", "inner_pos"),
    (r"^sentence_pos$", "outer_pos"),
    (r"blocks\.(\d+)\.(norm1|norm2|attn|mlp)\.", r"blocks.\1.outer_\2."),
    (r"blocks\.(\d+)\.inner\.(norm1|norm2|attn|mlp)\.", r"blocks.\1.inner_\2."),
    (r"\.inner\.bridge\.0\.", ".proj_norm1."),
    (r"\.inner\.bridge\.1\.", ".proj."),
    (r"\.inner\.bridge\.2\.", ".proj_norm2."),
)
_TNT: tuple[Rule, ...] = (
    *_SHARED,
    (r"^word_embed\.", "patch_embed.proj."),
    (r"^sentence_embed\.0\.", "proj_norm1."),
    (r"^sentence_embed\.1\.", "proj."),
    (r"^sentence_embed\.2\.", "proj_norm2."),
)
# The official convolutions of the stem are one flat list with ReLUs in between, three entries a layer.
_PYRAMID: tuple[Rule, ...] = (
    *_SHARED,
    (r"^stem\.shared\.", "patch_embed.common_conv."),
    (r"^stem\.words\.", "patch_embed.inner_convs."),
    (r"^stem\.sentences\.(\d)\.(\d)\.", lambda at: f"patch_embed.outer_convs.{3 * int(at[1]) + int(at[2])}."),
    (r"^merge_(words|sentences)\.(\d+)\.conv\.", r"merge_\1.\2.conv.0."),
    (r"^merge_(word|sentence)s\.", r"\1_merges."),
    (r"\.outer_attn\.pooled\.0\.", ".outer_attn.linear."),
    (r"\.outer_attn\.pooled\.1\.", ".outer_attn.norm."),
)


def _joint_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state with the weights of queries, keys and values joined, which are two in the official attention.

    TNT has query-key and value, PyramidTNT query and key-value. They stay two if the attention pools its keys.
    """
    converted = dict(state)
    for name in state:
        prefix, _, leaf = name.rpartition("attn.")
        rest = {"qk.weight": "v.weight", "q.weight": "kv.weight"}.get(leaf)
        if rest is None or f"{prefix}attn.linear.weight" in state:
            continue
        if f"{prefix}attn.{rest}" in state:
            parts = converted.pop(name), converted.pop(f"{prefix}attn.{rest}")
            converted[f"{prefix}attn.qkv.weight"] = torch.cat(parts)
    # A frozen parameter of zeros that the official network never reads.
    converted.pop("outer_tokens", None)
    return converted


def _input_size(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    """Return the input size that the checkpoint's position table was made for."""
    if "outer_pos" not in state:
        return config.get("img_size", 224)
    tokens = state["outer_pos"].shape[1]
    if "depths" in config:
        return 8 * math.isqrt(tokens)
    # A single row of patches stands for every grid of as many patches.
    patch = config.get("patch_size", 16)
    return (patch, patch * (tokens - 1))


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The number of patches follows from the position table, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    model = build({**config, "img_size": _input_size(config, state)}, form or "model")
    return load_official(model, _joint_projections(state), _PYRAMID if "depths" in config else _TNT)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``."""
    return {"logits": model(x)}
