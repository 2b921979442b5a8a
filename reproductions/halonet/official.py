"""The two public checkpoint layouts of HaloNet; the authors released neither code nor weights.

timm's (``stages.0.0.self_attn.q.weight``) and that of keras_cv_attention_models, kecam for short, on its PyTorch
backend (``stack1_block1_deep_2_haloquery_conv.weight``), whose position tables are transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.halonet.model import HaloNet, build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "outputs"]

_TIMM: tuple[Rule, ...] = (
    (r"^stem\.convs\.(\d)\.", lambda conv: f"stem.conv{int(conv[1]) + 1}."),
    (r"^features\.", "final_conv."),
    (r"^head\.", "head.fc."),
    (r"\.reduce\.", ".conv1_1x1."),
    (r"\.expand\.", ".conv3_1x1."),
    (r"\.mixer\.conv\.", ".conv2_kxk."),
    (r"\.mixer\.excite\.", ".attn."),
    (r"\.mixer\.norm\.", ".post_attn."),
    (r"\.norm\.", ".bn."),
    (r"\.mixer\.attention\.", ".self_attn."),
    (r"(^|\.)query\.", r"\1q."),
    (r"(^|\.)key_value\.", r"\1kv."),
    (r"(^|\.)row_table$", r"\1pos_embed.height_rel"),
    (r"(^|\.)column_table$", r"\1pos_embed.width_rel"),
)
_KECAM: tuple[Rule, ...] = (
    (r"^stem\.convs\.0\.(conv|norm)\.", r"stem_\1."),
    (r"^stem\.convs\.(\d)\.(conv|norm)\.", lambda m: f"stem_{int(m[1]) + 1}_{m[2]}."),
    (r"^features\.", "features_"),
    (r"^head\.", "predictions."),
    (r"^stages\.(\d+)\.(\d+)\.", lambda m: f"stack{int(m[1]) + 1}_block{int(m[2]) + 1}_"),
    (r"_shortcut\.", "_shortcut_"),
    (r"_reduce\.", "_deep_1_"),
    (r"_expand\.conv\.", "_deep_3_conv."),
    (r"_expand\.norm\.", "_3_bn."),
    (r"_mixer\.conv\.", "_deep_2_"),
    (r"_mixer\.norm\.", "_deep_2_bn."),
    (r"_mixer\.attention\.query\.", "_deep_2_haloquery_conv."),
    (r"_mixer\.attention\.key_value\.", "_deep_2_halokey_value_conv."),
    (r"_mixer\.attention\.row_table$", "_deep_2_halopos_emb.pos_emb_h"),
    (r"_mixer\.attention\.column_table$", "_deep_2_halopos_emb.pos_emb_w"),
    (r"_norm\.", "_bn."),
)


def _is_kecam(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("stack") for name in state)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of a state dict in either layout.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    model = build(config, form or "model")
    if not _is_kecam(state):
        return load_official(model, state, _TIMM)
    tables = {name for name in state if ".pos_emb_" in name}
    turned = {name: tensor.mT if name in tables and tensor.ndim == 2 else tensor for name, tensor in state.items()}
    return load_official(model, turned, _KECAM)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits`` (the map of an attention layer), ``stem`` and stages."""
    if not isinstance(model, HaloNet):
        return {"logits": model(*inputs)}
    maps = model.forward_features(*inputs)
    stages = {f"stage{i}": each for i, each in enumerate(maps[1:-1], start=1)}
    return {"logits": model.head(maps[-1].mean((2, 3))), "stem": maps[0], **stages}
