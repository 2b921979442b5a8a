"""The official checkpoint layouts (MMSegmentation), and the pieces that golden records describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.kernels.exit_by_class import exit_by_class
from claimbench.reproductions.dtop.backbone import grid_of
from claimbench.reproductions.dtop.heads import DecoderLayer
from claimbench.reproductions.dtop.loss import atm_loss
from claimbench.reproductions.dtop.model import DToP, Plain, build, upsample
from claimbench.reproductions.dtop.packing import whole
from claimbench.reproductions.layout import Rule, bound, load_official

__all__ = ["PARTS", "from_official", "outputs"]

_DECODER_LAYER: tuple[Rule, ...] = (
    (r"(^|\.)self_attn\.qkv\.(weight|bias)$", r"\1self_attn.in_proj_\2"),
    (r"(^|\.)self_attn\.proj\.", r"\1self_attn.out_proj."),
    (r"(^|\.)cross_attn\.", r"\1multihead_attn."),
)
_JOINED = {r"(^|\.)cross_attn\.kv\.": (r"\1cross_attn.k.", r"\1cross_attn.v.")}
_RULES: tuple[Rule, ...] = (
    # blocks of the backbone and of Segmenter's head
    (r"(blocks\.\d+)\.norm([12])\.", r"\1.ln\2."),
    (r"(blocks\.\d+)\.attn\.qkv\.(weight|bias)$", r"\1.attn.attn.in_proj_\2"),
    (r"(blocks\.\d+)\.attn\.proj\.", r"\1.attn.attn.out_proj."),
    (r"(blocks\.\d+)\.mlp\.fc1\.", r"\1.ffn.layers.0.0."),
    (r"(blocks\.\d+)\.mlp\.fc2\.", r"\1.ffn.layers.1."),
    # SegViT's heads
    *_DECODER_LAYER,
    (r"^(head|exits\.\d+)\.layers\.", r"\1.decoder.layers."),
    (r"\.queries\.weight$", ".q.weight"),
    # SETR's heads
    (r"^(head|auxiliary\.\d+)\.conv\.conv\.", r"\1.up_convs.0.0.conv."),
    (r"^(head|auxiliary\.\d+)\.conv\.norm\.", r"\1.up_convs.0.0.bn."),
    (r"\.classifier\.", ".conv_seg."),
    # Segmenter's head
    (r"^head\.class_tokens$", "head.cls_emb"),
    (r"^head\.class_proj\.", "head.classes_proj."),
    # all
    (r"^backbone\.patch_embed\.", "backbone.patch_embed.projection."),
    (r"^backbone\.norm\.", "backbone.ln1."),
    (r"\.blocks\.", ".layers."),
    (r"^(exits|auxiliary)\.", "auxiliary_head."),
    (r"^head\.", "decode_head."),
)
_SEGMENTER: tuple[Rule, ...] = (
    (r"^decode_head\.input_proj\.", "decode_head.dec_proj."),
    (r"^decode_head\.norm\.", "decode_head.decoder_norm."),
)
_CONSTANT = ".loss_decode.criterion.empty_weight"
"""The ending of a constant of the official loss, which its checkpoints hold beside the weights."""


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    model = build(config, form or "model")
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(_CONSTANT)}
    own = _SEGMENTER if config.get("head") == "mask-transformer" else ()
    return load_official(model, weights, (*_RULES, *own), joined=_JOINED)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name.

    ``pred`` (B, classes, N) are the scores of the decode head for each token and ``logits`` the same as maps, of the
    size that the head was built for; ``canvas`` are its mask logits, ``class_logits`` its class logits; ``aux<i>_pred``
    the scores of the i-th exit, ``keep_<i>`` whether a token is alive behind it, ``alive`` their numbers (B, exits);
    ``final_feature`` (B, C, h, w) is zero where a token left. Of SETR and Segmenter, ``logits`` are the decode head's
    scores at their own size.
    """
    if isinstance(model, Plain):
        return {"logits": model.run(x)[len(model.auxiliary)]}
    assert isinstance(model, DToP)
    trace = model.run(x, every_head=True)
    *auxiliary, last = (trace.predictions[number] for number in range(len(model.positions)))
    patch, grid = model.backbone.patch, grid_of(x, model.backbone.patch)
    scores = last.scores()
    built_for = [side * patch for side in model.backbone.grid]
    return {
        "logits": upsample(scores.unflatten(2, grid), built_for),
        "pred": scores,
        "canvas": last.canvas.transpose(1, 2),
        "class_logits": last.class_logits,
        **{f"aux{i}_pred": prediction.scores() for i, prediction in enumerate(auxiliary)},
        **{f"keep_{i}": alive.to(x.dtype) for i, alive in enumerate(trace.alive)},
        "alive": torch.stack([alive.sum(1) for alive in trace.alive], dim=1),
        "final_feature": trace.packing.spread(trace.rows).transpose(1, 2).unflatten(2, grid),
    }


def _atm_decoder_layer(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., dict[str, Tensor]]:
    """Return the decoder layer as a function of ``queries`` (Q, B, C) and ``tokens`` (N, B, C)."""
    layer = DecoderLayer(config["d_model"], config["nhead"], config.get("dim_feedforward"))
    run = bound(layer, state, _DECODER_LAYER, joined=_JOINED)

    def call(queries: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        packing = whole(tokens.shape[1], tokens.shape[0])
        out, scores = run(queries.transpose(0, 1), tokens.transpose(0, 1).flatten(0, 1), packing.offsets)
        return {"out": out.transpose(0, 1), "scores": packing.spread(scores).transpose(1, 2)}

    return call


def _atm_loss(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., dict[str, Tensor]]:
    """Return the loss of one head as a function of ``class_logits``, ``masks`` and ``labels``."""
    return partial(atm_loss, **config)


def _exit_rule(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., dict[str, Tensor]]:
    """Return the exit rule as a function of ``scores`` (B, classes, N) and ``gone`` (B, N)."""

    def call(scores: Tensor, gone: Tensor) -> dict[str, Tensor]:
        alive = exit_by_class(scores, gone > 0, config["threshold"], config.get("keep_per_class", 5))
        return {"alive": alive.to(scores.dtype), "count": alive.sum(1)[None]}

    return call


PARTS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], Callable[..., dict[str, Tensor]]]] = {
    "atm_decoder_layer": _atm_decoder_layer,
    "atm_loss": _atm_loss,
    "exit_rule": _exit_rule,
}
