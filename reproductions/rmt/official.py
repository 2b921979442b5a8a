"""The official checkpoint layout of RMT (RMT.py of the classification and the token-labelling release)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.rmt.model import RMT, build
from claimbench.reproductions.watching import watched

__all__ = ["from_official", "outputs"]

_RULES: tuple[Rule, ...] = (
    # The official stem is one flat list: a convolution, its BatchNorm and a GELU at a time.
    (r"^stem\.(\d)\.conv\.", lambda at: f"patch_embed.proj.{3 * int(at[1]) // 2}."),
    (r"^stem\.(\d)\.norm\.", lambda at: f"patch_embed.proj.{3 * int(at[1]) // 2 + 1}."),
    (r"^stages\.", "layers."),
    (r"\.positions\.", ".Relpos."),
    (r"\.downsample\.conv\.", ".downsample.reduction."),
    (r"\.norm1\.", ".retention_layer_norm."),
    (r"\.norm2\.", ".final_layer_norm."),
    (r"\.attn\.local\.", ".retention.lepe.conv."),
    (r"\.attn\.proj\.", ".retention.out_proj."),
    (r"\.attn\.", ".retention."),
    (r"\.ffn\.local\.", ".ffn.dwconv.conv."),
    (r"\.pos\.", ".pos.conv."),
    (r"\.gamma(\d)$", r".gamma_\1"),
    (r"^token_head\.", "aux_head."),
)
_JOINED = {r"\.qkv\.": (".q_proj.", ".k_proj.", ".v_proj.")}


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    return load_official(build(config, form or "model"), state, _RULES, joined=_JOINED)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``logits``, and by the official names of the modules ``patch_embed``, every stage ``layers.i`` (its reduction
    included), its blocks ``layers.i.blocks.j`` and their attention ``layers.i.blocks.j.retention``: (B, H, W, C).
    """
    assert isinstance(model, RMT)
    inside: dict[str, nn.Module] = {}
    for i, stage in enumerate(model.stages):
        inside[f"layers.{i}"] = stage
        for j, block in enumerate(stage.get_submodule("blocks").children()):
            inside[f"layers.{i}.blocks.{j}"] = block
            inside[f"layers.{i}.blocks.{j}.retention"] = block.get_submodule("attn")
    with watched(inside) as found:
        logits = model(x)
    return found | {"patch_embed": model.embed(x), "logits": logits}
