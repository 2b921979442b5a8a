"""The official checkpoint layout of VOLO (models/volo.py), which timm shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from reproductions.volo.model import VOLO, build

# Official name -> ours; network.1 is the downsampling between outlookers and transformers.
_RENAMES = (
    (re.compile(r"^patch_embed\.conv\."), "stem."),
    (re.compile(r"^patch_embed\.proj\."), "stem.9."),
    (re.compile(r"^network\.0\."), "outlookers."),
    (re.compile(r"^network\.1\.proj\."), "downsample."),
    (re.compile(r"^network\.(\d+)\."), lambda m: f"transformers.{int(m[1]) - 2}."),
    (re.compile(r"^post_network\."), "class_blocks."),
    (re.compile(r"^aux_head\."), "token_head."),
)


def _rename(name: str) -> str:
    for pattern, ours in _RENAMES:
        name, replaced = pattern.subn(ours, name)
        if replaced:
            break
    return name


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Build the model that the official ``state`` describes and load it strictly.

    The input size follows from the position embedding, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries are missing, unknown or of the wrong shape; the message names them.
    """
    config = dict(config)
    if "pos_embed" in state:
        reach = config.get("patch_size", 8) * config.get("pooling_scale", 2)
        config["img_size"] = state["pos_embed"].shape[1] * reach
    model = build(config, form or "model")
    try:
        # Assigned, not copied into float32 parameters: the checkpoint's precision is kept.
        model.load_state_dict({_rename(name): tensor for name, tensor in state.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not have VOLO's official layout: {error}") from error
    return model


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``cls_logits`` of the class token, ``aux_logits`` of every position, and ``logits``, what evaluation makes of both.
    """
    assert isinstance(model, VOLO)
    tokens = model.forward_tokens(model.embed(x))
    cls, aux = model.head(tokens[:, 0]), model.token_head(tokens[:, 1:])
    return {"cls_logits": cls, "aux_logits": aux, "logits": model(x)}
