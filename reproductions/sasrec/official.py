"""The checkpoint layout of the PyTorch port (pmixer/SASRec.pytorch), to which the authors' README points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.sasrec.model import CausalAttention, SASRec, build, with_form

__all__ = ["from_official", "golden_call", "golden_inputs", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r"^blocks\.(\d+)\.attn_norm\.", r"attention_layernorms.\1."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"attention_layers.\1.in_proj_"),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"attention_layers.\1.out_proj."),
    (r"^blocks\.(\d+)\.ffn_norm\.", r"forward_layernorms.\1."),
    (r"^blocks\.(\d+)\.ffn\.fc(\d)\.", r"forward_layers.\1.conv\2."),
    (r"^last_norm\.", "last_layernorm."),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The number of items and the longest sequence follow from the tables. The three placements of the norms have the same
    layout, so that only ``form`` tells them apart. The port's training script clears the rows of padding and its model
    does not; they are cleared here.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    config = dict(config)
    for table, size in (("item_emb.weight", "items"), ("pos_emb.weight", "maxlen")):
        if table in state and state[table].dim() == 2 and len(state[table]) > 1:
            config[size] = len(state[table]) - 1
    model = build(config, form or "original")
    # The two layers for each item are convolutions of kernel size 1 there.
    shapes = {
        f"{name}.weight": (*m.weight.shape, 1) for name, m in model.named_modules() if name.endswith(("fc1", "fc2"))
    }
    load_official(model, state, _RULES, shapes)
    with torch.no_grad():
        model.item_emb.weight[0].zero_()
        model.pos_emb.weight[0].zero_()
    return model


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the output that golden records name: ``log_feats``, the features behind each item of the ids (B, n)."""
    return {"log_feats": model(x)}


def golden_inputs(golden: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the item sequences, positives and negatives (B, n) and candidates (B, 101) of a golden record.

    The inputs are integers that follow from the row, the slot and the number of items.
    """
    batch, n = golden.input_shape
    items = next(shape[0] for name, shape, *_ in golden.state if name == "item_emb.weight") - 1
    b, t, j = torch.arange(batch)[:, None], torch.arange(n), torch.arange(101)
    padded = t < torch.tensor([0, n // 4, n - 3, n - 1])[torch.arange(batch) % 4][:, None]
    ids = [(1 + (1000003 * b + 8191 * t + 127 * b * t + o) % items).masked_fill(padded, 0) for o in (17, 29, 101)]
    return ids[0], ids[1], ids[2], 1 + (1000003 * b + 7919 * j + 53) % items


def golden_call(model: nn.Module, inputs: tuple[Tensor, ...], golden: Any) -> dict[str, Tensor]:
    """Return every output of a golden record, in the placement of norms and with the heads that it names."""
    assert isinstance(model, SASRec)
    ids, positives, negatives, candidates = inputs
    config = golden.data.get("config", {})
    placement = {None: "original", True: "prenorm", False: "postnorm"}[config.get("norm_first")]
    model = with_form(model, placement)
    for module in model.modules():
        if isinstance(module, CausalAttention):
            module.num_heads = config.get("num_heads", module.num_heads)
    features = model(ids)
    logits = [(features * model.item_emb(chosen)).sum(-1) for chosen in (positives, negatives)]
    return {
        "log_feats": features,
        "pos_logits": logits[0],
        "neg_logits": logits[1],
        "scores": model.scores(ids, candidates),
    }
