"""The official checkpoint layouts of TNT (tnt.py) and PyramidTNT (pyramid_tnt.py)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reproductions.tnt.model import build

# Official name -> ours, applied in order; everything else has the same name.
_RENAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^patch_embed\.proj\.", "word_embed."),
        (r"^patch_embed\.common_conv\.", "stem.shared."),
        (r"^patch_embed\.inner_convs\.", "stem.words."),
        (r"^patch_embed\.outer_convs\.([012])\.", r"stem.sentences.0.\1."),
        (r"^patch_embed\.outer_convs\.([34])\.", lambda m: f"stem.sentences.1.{int(m[1]) - 3}."),
        (r"^patch_embed\.outer_convs\.([67])\.", lambda m: f"stem.sentences.2.{int(m[1]) - 6}."),
        (r"^word_merges\.(\d+)\.(norm|conv)(?:\.0)?\.", r"merge_words.\1.\2."),
        (r"^sentence_merges\.(\d+)\.(norm|conv)(?:\.0)?\.", r"merge_sentences.\1.\2."),
        (r"^inner_pos$", "word_pos"),
        (r"^outer_pos$", "sentence_pos"),
        (r"^proj_norm1\.", "sentence_embed.0."),
        (r"^proj\.", "sentence_embed.1."),
        (r"^proj_norm2\.", "sentence_embed.2."),
        (r"\.inner_(norm1|norm2|attn|mlp)\.", r".inner.\1."),
        (r"\.proj_norm1\.", ".inner.bridge.0."),
        (r"(blocks\.\d+)\.proj\.", r"\1.inner.bridge.1."),
        (r"\.proj_norm2\.", ".inner.bridge.2."),
        (r"\.outer_attn\.linear\.", ".attn.pooled.0."),
        (r"\.outer_attn\.norm\.", ".attn.pooled.1."),
        (r"\.outer_(norm1|norm2|attn|mlp)\.", r".\1."),
    )
)
# A frozen parameter of zeros that the official network never reads.
_UNUSED = "outer_tokens"


def _rename(name: str) -> str:
    for pattern, ours in _RENAMES:
        name = pattern.sub(ours, name)
    return name


def _split_qk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn TNT's joint query-key and separate value weights into a query and a joint key-value weight."""
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith("attn.v.weight"):
            continue
        if name.endswith("attn.qk.weight"):
            prefix = name.removesuffix("qk.weight")
            q, k = tensor.chunk(2)
            converted[f"{prefix}q.weight"] = q
            if f"{prefix}v.weight" in state:
                converted[f"{prefix}kv.weight"] = torch.cat((k, state[f"{prefix}v.weight"]))
        else:
            converted[name] = tensor
    return converted


def _size_in(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
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
    """Build the model that the official ``state`` describes and load it strictly.

    The number of patches follows from the position table, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries are missing, unknown or of the wrong shape; the message names them.
    """
    model = build({**config, "img_size": _size_in(config, state)}, form or "model")
    ours = {_rename(name): tensor for name, tensor in _split_qk(state).items() if name != _UNUSED}
    try:
        # Assigned, not copied into float32 parameters: the checkpoint's precision is kept.
        model.load_state_dict(ours, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not have TNT's official layout: {error}") from error
    return model


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: the logits."""
    return {"logits": model(x)}
