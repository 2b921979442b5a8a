"""The layout of the official heads: ``Sequential(pooling, BatchNorm1d, Linear)`` of probe_heads.py, with poolings/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.efficient_probing.model import ProbeHead, build
from claimbench.reproductions.layout import Rule, load_official

__all__ = ["from_official", "golden_call", "outputs"]

_HEAD: tuple[Rule, ...] = ((r"^pool\.", "0."), (r"^norm\.", "1."), (r"^classifier\.", "2."))
_LINEAR: tuple[Rule, ...] = ((r"^norm\.", "0."), (r"^classifier\.", "1."))
_CROSS = "0.cross_attention_block."
_BLOCK = "0.blocks_token_only.0."

_RULES: Mapping[str, tuple[Rule, ...]] = {
    "ep": ((r"^0\.queries$", "0.cls_token"), (r"^0\.value\.", "0.v.")),
    "aim": (
        (r"^0\.queries$", "0.cls_token"),
        (r"^0\.norm\.", "0.bn."),
        (r"^0\.key\.", "0.k."),
        (r"^0\.value\.", "0.v."),
    ),
    "abmilp": (
        (r"^0\.attention\.", "0.self_attn."),
        (r"^0\.hidden\.", "0.attention_predictor."),
    ),
    "simpool": ((r"^0\.norm\.", "0.norm_patches."), (r"^0\.query\.", "0.wq."), (r"^0\.key\.", "0.wk.")),
    "esimpool": ((r"^0\.norm\.", "0.norm_patches."),),
    "clip": ((r"^0\.positions$", "0.pos_embed"), (r"^0\.attention\.", "0.")),
    "siglip": ((r"^0\.query\.", "0.q."), (r"^0\.key_value\.", "0.kv."), (r"^0\.project\.", "0.proj.")),
    "cbam": ((r"^0\.gates\.", "0."),),
    "coca": (
        (r"^0\.queries$", "0.img_queries"),
        (r"^0\.gain$", "0.norm.gamma"),
        (r"^0\.query\.", "0.to_q."),
        (r"^0\.key_value\.", "0.to_kv."),
        (r"^0\.project\.", "0.to_out."),
    ),
    "cait": (
        (r"^0\.class_token$", "0.cls_token"),
        (r"^0\.(norm1|norm2|mlp)\.", _BLOCK + r"\1."),
        (r"^0\.query\.", _BLOCK + "attn.q."),
        (r"^0\.key\.", _BLOCK + "attn.k."),
        (r"^0\.value\.", _BLOCK + "attn.v."),
        (r"^0\.project\.", _BLOCK + "attn.proj."),
        (r"^0\.scale(\d)$", _BLOCK + r"gamma_\1"),
    ),
    "dinovit": ((r"^0\.attention\.", "0.attn."), (r"^0\.", "0.dino_block.")),
    "jepa": (
        (r"^0\.queries$", "0.query_tokens"),
        (r"^0\.(norm1|norm2|mlp)\.", _CROSS + r"\1."),
        (r"^0\.query\.", _CROSS + "xattn.q."),
        (r"^0\.key_value\.", _CROSS + "xattn.kv."),
        (r"^0\.project\.", _CROSS + "xattn.proj."),
    ),
    "dolg": ((r"^0\.embed\.", "0.conv1."), (r"^0\.norm\.", "0.bn."), (r"^0\.score\.", "0.conv2.")),
    "cae": (
        (r"^0\.queries$", "0.query_token"),
        (r"^0\.norm_query\.", "0.norm1_q."),
        (r"^0\.norm_key\.", "0.norm1_k."),
        (r"^0\.norm_value\.", "0.norm1_v."),
        (r"^0\.norm2\.", "0.norm2_cross."),
        (r"^0\.query\.", "0.cross_attn.q."),
        (r"^0\.key\.", "0.cross_attn.k."),
        (r"^0\.value\.", "0.cross_attn.v."),
        (r"^0\.project\.", "0.cross_attn.proj."),
    ),
    "linear": (),
}

_OPTIONS = {"num_heads": "num_heads", "abmilp_sa": "self_attention", "abmilp_act": "activation"}
"""Options of main_linprobe.py that shape a head and leave no trace in its weights, and our names for them."""

_READ_BY = {"num_heads": ("aim", "jepa"), "abmilp_sa": ("abmilp",), "abmilp_act": ("abmilp",)}
"""The poolings that read each option."""


def _sizes(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the hyper-parameters with the sizes that a checkpoint's tensors have."""
    sizes, name = dict(config), config.get("pooling", "ep")
    classifier = state.get("1.weight" if name == "linear" else "2.weight")
    if classifier is not None and classifier.dim() == 2:
        sizes["num_classes"], sizes["dim"] = classifier.shape
    token = state.get("0.cls_token")
    if token is not None and token.dim() == 3 and name in ("ep", "aim"):
        sizes["num_queries"], sizes["dim"] = token.shape[1:]
    if name == "ep" and (value := state.get("0.v.weight")) is not None and value.dim() == 2:
        sizes["d_out"] = sizes["dim"] // len(value)
        sizes["qkv_bias"] = "0.v.bias" in state
    if name == "clip" and "0.pos_embed" in state:
        sizes["tokens"] = len(state["0.pos_embed"]) - 1
    if name == "coca" and "0.img_queries" in state:
        sizes["num_queries"] = len(state["0.img_queries"])
    if name == "abmilp":
        layers = [int(entry.split(".")[2]) for entry in state if entry.startswith("0.attention_predictor.")]
        sizes["depth"] = max(layers, default=2) // 2 + 1
        if not any(entry.startswith("0.self_attn.") for entry in state):
            sizes["self_attention"] = "none"
    return sizes


def _official_shapes(head: ProbeHead) -> dict[str, tuple[int, ...]]:
    """Return the shapes of entries that have axes of size 1 more in the official layout."""
    shapes = {name: tuple(tensor.shape) for name, tensor in head.pool.state_dict().items()}
    if head.config.get("pooling") == "dolg":  # convolutions with a 1x1 kernel
        return {f"pool.{name}": (*shapes[name], 1, 1) for name in ("embed.weight", "score.weight")}
    if head.config.get("pooling") == "coca":
        return {}
    return {f"pool.{name}": (1, *shapes[name]) for name in ("queries", "latent") if name in shapes}


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> ProbeHead:
    """Return the head of ``config`` with the weights of an official state dict, whose sizes it takes on.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    head = build(_sizes(config, state), form or "reordered")
    name = head.config.get("pooling", "ep")
    state = dict(state)
    shift = state.pop("0.norm.beta", None) if name == "coca" else None
    if shift is not None and shift.any():
        raise ValueError("0.norm.beta of a CoCa head is a constant zero, this one is not")
    rules = _LINEAR if name == "linear" else (*_HEAD, *_RULES[name])
    if name == "abmilp":
        rules = (*rules, (r"^0\.score\.", f"0.attention_predictor.{2 * head.config['depth'] - 2}."))
    return load_official(head, state, rules, _official_shapes(head))


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``pooled`` and ``logits``."""
    assert isinstance(model, ProbeHead)
    pooled = model.pool(x)
    return {"pooled": pooled, "logits": model.classifier(model.norm(pooled))}


def golden_call(model: nn.Module, inputs: tuple[Tensor, ...], golden: Any) -> dict[str, Tensor]:
    """Return the outputs of the head with the options of main_linprobe.py that the record's ``head_kwargs`` name."""
    assert isinstance(model, ProbeHead)
    given = golden.data.get("head_kwargs", {})
    name = model.config.get("pooling", "ep")
    chosen = {ours: given[theirs] for theirs, ours in _OPTIONS.items() if theirs in given and name in _READ_BY[theirs]}
    if name == "abmilp" and model.config.get("self_attention") == "none":
        chosen.pop("self_attention", None)
    if chosen:
        other = build({**model.config, **chosen}, model.form).to(inputs[0])
        other.load_state_dict(model.state_dict())
        model = other.eval()
    return outputs(model, *inputs)
