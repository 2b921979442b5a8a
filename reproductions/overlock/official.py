"""The official checkpoint layout (github.com/LMMMEng/OverLoCK).

A name of ours is translated in three steps: the place in the network, in the block and in the layer. Each step replaces
the longest leading part of the name that its table knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.overlock.layers import DILATED_BRANCHES, GlobalResponseNorm, LayerScale, Pointwise
from claimbench.reproductions.overlock.model import ContMixBlock, OverLoCK, build, convert
from claimbench.reproductions.watching import watched

_NETWORK = {
    **{f"stem.{i}.conv": f"patch_embed1.{3 * i}" for i in range(4)},
    **{f"stem.{i}.norm": f"patch_embed1.{3 * i + 1}" for i in range(4)},
    **{f"down{i}": f"patch_embed{i}" for i in (2, 3, 4)},
    "down_features": "patch_embedx.x_proj",
    "down_context": "patch_embedx.h_proj",
    "context": "high_level_proj",
    "head.project": "head",
    "head.classify": "head.4",
    "aux_head.norm": "aux_head.0",
    "aux_head.classify": "aux_head.2",
    "dense.norms": "extra_norm",
    "dense.overview.0": "extra_norm.4",
    "dense.overview.1": "h_proj.0",
    "dense.overview.2": "h_proj.1",
}
_STAGES = {
    **{f"base{i}.blocks": f"blocks{i}" for i in (1, 2, 3)},
    "overview.blocks": "blocks4",
    **{f"focus{i}.blocks": f"sub_blocks{i}" for i in (3, 4)},
}
_STATIC_BLOCK = {
    "position": "dwconv",
    "norm": "proj.0",
    "large_kernel": "proj.1",
    "large_kernel.norm": "proj.2",
    "excite": "proj.3",
    "ffn.expand": "proj.4",
    "ffn.position": "proj.6",
    "ffn.response": "proj.7",
    "ffn.reduce": "proj.8",
    "residual.scale": "ls",
}
_DYNAMIC_BLOCK = {
    "refresh.0": "x_scale",
    "refresh.1": "h_scale",
    "position1": "dwconv1",
    "norm1": "norm1",
    "fusion.depthwise": "fusion",
    "fusion.pointwise": "fusion.3",
    "fusion.response": "fusion.4",
    "contmix.mixing.query": "weight_query",
    "contmix.mixing.key.conv": "weight_key.1",
    "contmix.mixing.key.norm": "weight_key.2",
    "contmix.mixing.value": "weight_value",
    "contmix.mixing.kernels": "weight_proj",
    "contmix.mixing.position_bias.0": "rpb1",
    "contmix.mixing.position_bias.1": "rpb2",
    "contmix.after_mixing": "dyconv_proj",
    "contmix.large_kernel": "lepe.0",
    "contmix.large_kernel.norm": "lepe.1",
    "contmix.excite": "se_layer",
    "contmix.gate": "gate",
    "contmix.project.norm": "proj.0",
    "contmix.project.conv": "proj.1",
    "residual1.scale": "ls1",
    "position2": "dwconv2",
    "norm2": "norm2",
    "ffn.expand": "mlp.0",
    "ffn.position": "mlp.2",
    "ffn.response": "mlp.3",
    "ffn.reduce": "mlp.4",
    "residual2.scale": "ls2",
}
_PLUG_IN_BLOCK = _DYNAMIC_BLOCK | {"contmix.after_mixing": "fusion_proj"}
_BRANCHES = {pair for pairs in DILATED_BRANCHES.values() for pair in pairs}
_LAYER = {
    "conv": "0",
    "norm": "1",
    "fc1": "proj.1",
    "fc2": "proj.3",
    "merged": "lk_origin",
    "branches.main.conv": "lk_origin",
    "branches.main.norm": "origin_bn",
    **{f"branches.k{k}d{d}.conv": f"dil_conv_k{k}_{d}" for k, d in _BRANCHES},
    **{f"branches.k{k}d{d}.norm": f"dil_bn_k{k}_{d}" for k, d in _BRANCHES},
}


def _split(name: str, table: Mapping[str, str]) -> tuple[str, str]:
    """Return the translation of the longest leading part of ``name`` in ``table``, "" if none, and the rest."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        head = ".".join(parts[:end])
        if head in table:
            return table[head], ".".join(parts[end:])
    return "", name


def official_name(name: str, plug_in: bool = False) -> str:
    """Return the official name of an entry of our network's state dict (or of the plug-in block's)."""
    place, rest = ("", name) if plug_in else _split(name, _NETWORK)
    if not place:
        stage, rest = ("", rest) if plug_in else _split(rest, _STAGES)
        index, rest = rest.split(".", 1) if stage else ("", rest)
        block = _PLUG_IN_BLOCK if plug_in else _DYNAMIC_BLOCK if stage.startswith("sub_") else _STATIC_BLOCK
        inside, rest = _split(rest, block)
        place = ".".join(filter(None, (stage, index, inside)))
    layer, rest = _split(rest, _LAYER)
    return ".".join(filter(None, (place, layer, rest)))


def official_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the official shapes of the entries of our state dict that differ there: 1x1 convolutions and scales."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, Pointwise | nn.Linear):
            shapes[f"{prefix}.weight"] = (*module.weight.shape, 1, 1)
        elif isinstance(module, LayerScale):
            shapes[f"{prefix}.weight"] = (*module.weight.shape, 1, 1, 1)
        elif isinstance(module, GlobalResponseNorm):
            shapes[f"{prefix}.gamma"] = shapes[f"{prefix}.beta"] = (1, *module.gamma.shape, 1, 1)
    return shapes


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return a model with the weights of an official checkpoint, plain or re-parameterised, of the network or block.

    Args:
        config: the variant's hyper-parameters.
        state: the official state dict; the model takes its floating dtype.
        form: the form to return; None for the one the layout describes (``training`` or ``merged_aux``).

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form cannot be made from
            this checkpoint.
    """
    model = build(config, "training" if any(".origin_bn." in name for name in state) else "merged_aux")
    plug_in = isinstance(model, ContMixBlock)
    rules: tuple[Rule, ...] = ((r"^.+$", lambda name: official_name(name[0], plug_in)),)
    load_official(model, state, rules, official_shapes(model))
    return model if form is None else convert(model, form)


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return every output that a golden record names, under its official name, for an input (B, C, H, W).

    The plug-in block gives its ``output``. The network gives its logits (or dense maps), those of the auxiliary head,
    and the outputs of the stem, of the context projection and of every block.
    """
    if not isinstance(model, OverLoCK):
        return {"output": model(x)}
    inside: dict[str, nn.Module] = {"patch_embed1": model.stem, "high_level_proj": model.context}
    for ours, stage in _STAGES.items():
        blocks = list(model.get_submodule(ours).children())
        inside |= {f"{stage}.{i}": block for i, block in enumerate(blocks)} | {f"{stage}.last": blocks[-1]}
    with watched(inside) as seen:
        result = model(x)
    found: dict[str, Tensor] = {}
    for name, output in seen.items():
        found |= {f"{name}.x": output[0], f"{name}.ctx": output[1]} if isinstance(output, tuple) else {name: output}
    last = "sub_blocks4.last"  # officially the last block leaves features and context joined
    found[f"{last}.x"] = torch.cat([found[f"{last}.x"], found.pop(f"{last}.ctx")], dim=1)
    if model.aux_head is not None:
        found["aux_logits"] = model.aux_head(found["blocks4.last"])
    if isinstance(result, Tensor):
        found["logits"] = result
    elif isinstance(result, dict):
        found["logits"], found["aux_logits"] = result["main"], result["aux"]
    else:
        found |= {f"maps.{i}": feature for i, feature in enumerate(result)}
    return found
