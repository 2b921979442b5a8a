"""The official checkpoint layout of VOLO (models/volo.py), which timm shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.volo.model import VOLO, build

__all__ = ["from_official", "outputs"]

# The official network is one list: outlookers, downsampling, then the transformers stage by stage.
_RULES: tuple[Rule, ...] = (
    (r"^stem\.9\.", "patch_embed.proj."),
    (r"^stem\.", "patch_embed.conv."),
    (r"^outlookers\.", "network.0."),
    (r"^downsample\.", "network.1.proj."),
    (r"^transformers\.(\d+)\.", lambda stage: f"network.{int(stage[1]) + 2}."),
    (r"^class_blocks\.", "post_network."),
    (r"^token_head\.", "aux_head."),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The input size follows from the position embedding, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    config = dict(config)
    if "pos_embed" in state:
        reach = config.get("patch_size", 8) * config.get("pooling_scale", 2)
        config["img_size"] = state["pos_embed"].shape[1] * reach
    return load_official(build(config, form or "model"), state, _RULES)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``cls_logits`` belong to the class token, ``aux_logits`` to every position; ``logits`` join both in evaluation.
    """
    assert isinstance(model, VOLO)
    tokens = model.forward_tokens(model.stem(x))
    cls, aux = model.head(tokens[:, 0]), model.token_head(tokens[:, 1:])
    return {"cls_logits": cls, "aux_logits": aux, "logits": model(x)}
