"""The official checkpoint layout (github.com/LMMMEng/OverLoCK): its names and shapes for everything of ours.

A name of ours is translated in three steps: where in the network, where in the block, where in the layer. Each step
replaces the longest leading part of the name that its table knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.overlock.layers import DILATED_BRANCHES, GlobalResponseNorm, LayerScale, Pointwise
from claimbench.reproductions.overlock.model import ContMixBlock, OverLoCK, build, convert

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


def _official_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the official shape of every entry of our state dict whose shape differs: 1x1 convolutions and scales."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, Pointwise | nn.Linear):
            shapes[f"{prefix}.weight"] = (*module.weight.shape, 1, 1)
        elif isinstance(module, LayerScale):
            shapes[f"{prefix}.weight"] = (*module.weight.shape, 1, 1, 1)
        elif isinstance(module, GlobalResponseNorm):
            shapes[f"{prefix}.gamma"] = shapes[f"{prefix}.beta"] = (1, *module.gamma.shape, 1, 1)
    return shapes


def layout(model: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the official layout of a model of ours: official name -> (our name, official shape)."""
    reshaped = _official_shapes(model)
    plug_in = isinstance(model, ContMixBlock)
    return {
        official_name(name, plug_in): (name, reshaped.get(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
    }


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(names[:5])}{more}" if names else ""


def load_official(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Copy a state dict in the official layout into a model of the same form, and return the model.

    Raises:
        ValueError: entries are missing, unexpected or misshapen; the message names them.
    """
    expected = layout(model)
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, must be {shape}"
        for name, (_, shape) in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    problems = [
        _listed("missing", [name for name in expected if name not in state]),
        _listed("unexpected", [name for name in state if name not in expected]),
        _listed("misshapen", misshapen),
    ]
    if any(problems):
        raise ValueError(f"not the official layout of this model; {'; '.join(filter(None, problems))}")
    ours = model.state_dict()
    model.load_state_dict({name: state[key].reshape(ours[name].shape) for key, (name, _) in expected.items()})
    return model


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return a model with the weights of an official checkpoint, plain or re-parameterised, of the network or block.

    Args:
        config: the variant's hyper-parameters.
        state: the official state dict; the model takes its floating dtype.
        form: the form to return; None for the one the layout describes (``training`` or ``merged_aux``).

    Raises:
        ValueError: an entry is missing, unexpected or misshapen, or the form cannot be made from this checkpoint.
    """
    native = "training" if any(".origin_bn." in name for name in state) else "merged_aux"
    model = build(config, native)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    load_official(model.to(dtype), state)
    return model if form is None else convert(model, form)


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return every output that a golden record names, under its official name, for an input (B, C, H, W).

    The plug-in block gives its ``output``; the network its logits (or dense maps), those of the auxiliary head, and
    what the stem, the context projection and every block give.
    """
    if not isinstance(model, OverLoCK):
        return {"output": model(x)}
    watched: dict[str, nn.Module] = {"patch_embed1": model.stem, "high_level_proj": model.context}
    for ours, stage in _STAGES.items():
        blocks = list(model.get_submodule(ours).children())
        watched |= {f"{stage}.{i}": block for i, block in enumerate(blocks)} | {f"{stage}.last": blocks[-1]}
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, result: Any) -> None:
            if isinstance(result, tuple):
                found[f"{name}.x"], found[f"{name}.ctx"] = result
            else:
                found[name] = result

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in watched.items()]
    try:
        result = model(x)
    finally:
        for handle in handles:
            handle.remove()
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
