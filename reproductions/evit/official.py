"""The official checkpoint layout of EViT, which is DeiT's: nothing learnable is added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.kernels.token_reorganize import most_attentive
from claimbench.reproductions.evit.model import Block, EViT, build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = ((r"^patch_embed\.", "patch_embed.proj."),)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The number of patches follows from the position embedding, so that checkpoints of other resolutions load too.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    config = dict(config)
    if "pos_embed" in state:
        # A single row of patches stands for every grid of as many patches.
        patch = config.get("patch_size", 16)
        config["img_size"] = (patch, patch * (state["pos_embed"].shape[1] - 1))
    return load_official(build(config, form or "model"), state, _RULES)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``kept_idx_<i>`` are the tokens that the i-th dropping block kept, best first; ``tokens_after_block`` the numbers of
    tokens behind each block, without the class token; ``features`` the normed class token; and ``logits``.
    """
    assert isinstance(model, EViT)
    named: dict[str, Tensor] = {}
    tokens, left = model.embed(x), []
    for block in model.blocks:
        assert isinstance(block, Block)
        tokens, scores = block(tokens)
        left.append(tokens.shape[1] - 1)
        if scores is not None:
            named[f"kept_idx_{len(named)}"] = most_attentive(scores, block.kept(scores.shape[1]))
    features = model.norm(tokens)[:, 0]
    return {
        **named,
        "tokens_after_block": torch.tensor(left),
        "features": features,
        "logits": model.head(features),
    }
