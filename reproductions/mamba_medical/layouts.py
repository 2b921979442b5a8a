"""The layouts of the official checkpoints: their names for our entries, and what their releases changed.

hustvl/Vim, MzeroMiko/VMamba (``model`` entries), JCruan519/VM-UNet (the state dict itself) and bowang-lab/U-Mamba
(``network_weights``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from claimbench.reproductions.layout import Rule
from claimbench.reproductions.mamba_medical.vim import patches

__all__ = [
    "MIXER",
    "OVERLAPPED",
    "SS2D_RULES",
    "VANILLA",
    "VIM",
    "VMUNET",
    "State",
    "as_today",
    "described",
    "once",
    "umamba_rules",
    "with_positions",
]

State = Mapping[str, Tensor]
Rules = tuple[Rule, ...]

MIXER: Rules = (
    (r"\bfirst\.conv\.", "conv1d."),
    (r"\bfirst\.", ""),
    (r"\bsecond\.conv\.", "conv1d_b."),
    (r"\bsecond\.A_log$", "A_b_log"),
    (r"\bsecond\.D$", "D_b"),
    (r"\bsecond\.(\w+)\.", r"\1_b."),
)
VIM: Rules = (
    (r"^patch_embed\.", "patch_embed.proj."),
    (r"^blocks\.", "layers."),
    (r"^norm\.", "norm_f."),
    *MIXER,
)
SS2D_RULES: Rules = ((r"\bconv\.", "conv2d."),)
_BLOCKS: Rules = ((r"^stages\.(\d+)\.(\d+)\.", r"layers.\1.blocks.\2."), (r"\.op\.conv\.", ".op.conv2d."))
VANILLA: Rules = (
    *_BLOCKS,
    (r"^patch_embed\.conv\.", "patch_embed.0."),
    (r"^patch_embed\.norm\.", "patch_embed.2."),
    (r"^downsamples\.(\d+)\.", r"layers.\1.downsample."),
    (r"^(norm|head)\.", r"classifier.\1."),
)
OVERLAPPED: Rules = (
    *_BLOCKS,
    (r"^patch_embed\.first\.", "patch_embed.0."),
    (r"^patch_embed\.first_norm\.", "patch_embed.2."),
    (r"^patch_embed\.conv\.", "patch_embed.5."),
    (r"^patch_embed\.norm\.", "patch_embed.7."),
    (r"^downsamples\.(\d+)\.conv\.", r"layers.\1.downsample.1."),
    (r"^downsamples\.(\d+)\.norm\.", r"layers.\1.downsample.3."),
    (r"^(norm|head)\.", r"classifier.\1."),
)
VMUNET: Rules = (
    *_BLOCKS,
    (r"^decoder\.(\d+)\.(\d+)\.", r"layers_up.\1.blocks.\2."),
    (r"\.blocks\.(\d+)\.norm\.", r".blocks.\1.ln_1."),
    (r"\.op\.conv\.", ".op.conv2d."),
    (r"\.op\.", ".self_attention."),
    (r"^patch_embed\.conv\.", "patch_embed.proj."),
    (r"^downsamples\.(\d+)\.", r"layers.\1.downsample."),
    (r"^expands\.(\d+)\.", lambda found: f"layers_up.{int(found[1]) + 1}.upsample."),
    (r"^final_expand\.", "final_up."),
    (r"^head\.", "final_conv."),
    (r"^", "vmunet."),
)
_UMAMBA: Rules = (
    (r"^((?:stem|stages\.\d+|decoder\.\d+)\.[1-9]\d*)\.conv([12])\.", r"\1.conv\2.all_modules.0."),
    (r"^((?:stem|stages\.\d+|decoder\.\d+)\.[1-9]\d*)\.norm([12])\.", r"\1.conv\2.all_modules.1."),
    (r"^decoder\.", "decoder.stages."),
    (r"^enlarges\.", "decoder.upsample_layers."),
    (r"^heads\.", "decoder.seg_layers."),
    (r"^(stem|stages)\.", r"decoder.encoder.\1."),
    *MIXER,
)

_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^patch_embed\.proj\.", "patch_embed.0."),
    (r"^patch_embed\.norm\.", "patch_embed.2."),
    (r"\.ln_1\.", ".norm."),
    (r"\.self_attention\.", ".op."),
    (r"^(norm|head)\.", r"classifier.\1."),
)
"""VMamba's names before its classifier had a name of its own, and those of today."""

_PROJECTION = re.compile(r"\.(in_proj|out_proj|fc1|fc2|reduction)\.weight$")


def with_positions(config: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """Return ``config`` for a picture of ``count`` patches: one column of them if the config's has another number."""
    size, patch, stride = config.get("img_size", 224), config.get("patch_size", 16), config.get("stride", 16)
    height, width = (size, size) if isinstance(size, int) else size
    if patches(height, width, patch, stride) == count:
        return config
    return {**config, "img_size": (patch + (count - 1) * stride, patch)}


def as_today(state: State) -> dict[str, Tensor]:
    """Return a VMamba state dict under today's names, with 1x1 convolutions as the linear layers they are."""
    found = {}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor.flatten(1) if _PROJECTION.search(name) and tensor.dim() == 4 else tensor
    return found


def once(state: State) -> dict[str, Tensor]:
    """Return a U-Mamba state dict without its repetitions; what comes last is kept, as when PyTorch loads it.

    The official modules hold a convolution and its norm twice, and the decoder holds the encoder.

    Raises:
        ValueError: a repetition is missing.
    """
    last = {name: _last(name) for name in state}
    kept = set(last.values())
    wanted = {other for name in kept & state.keys() for other in _repeated(name)}
    if missing := sorted(wanted - state.keys()):
        raise ValueError(f"the checkpoint does not fit: {missing[0]} is missing")
    return {name: tensor for name, tensor in state.items() if last[name] == name or last[name] not in state}


def _last(name: str) -> str:
    """Return the last of the names that an entry of U-Mamba has in its state dict."""
    name = re.sub(r"^(decoder\.)?encoder\.", "decoder.encoder.", name)
    return re.sub(r"(\.conv[12])\.(conv|norm)\.", lambda e: f"{e[1]}.all_modules.{e[2] == 'norm':d}.", name)


def _repeated(name: str) -> set[str]:
    """Return all the names of the entry whose last name is given."""
    both = {name, re.sub(r"\.all_modules\.([01])\.", lambda e: f".{('conv', 'norm')[int(e[1])]}.", name)}
    return both | {each.removeprefix("decoder.") for each in both if each.startswith("decoder.encoder.")}


def umamba_rules(kind: str) -> Rules:
    """Return U-Mamba's names; ``Bot`` has one mixer beside the encoder, ``Enc`` has them in it."""
    if kind == "Bot":
        return (*_UMAMBA, (r"^mixers\.\d+\.", "mamba_layer."))
    return (*_UMAMBA, (r"^mixers\.", "decoder.encoder.mamba_layers."))


def described(state: State) -> dict[str, Any]:
    """Return the hyper-parameters of the VMamba that a state dict without a classifier was made with."""
    blocks = [found for name in state if (found := re.match(r"layers\.(\d+)\.blocks\.(\d+)\.norm\.weight", name))]
    depths = [0] * (1 + max((int(found[1]) for found in blocks), default=-1))
    for found in blocks:
        depths[int(found[1])] = max(depths[int(found[1])], int(found[2]) + 1)
    first = "layers.0.blocks.0."
    overlapped = "patch_embed.5.weight" in state
    dim = state["patch_embed.5.weight" if overlapped else "patch_embed.0.weight"].shape[0]
    inner = state[f"{first}op.conv2d.weight"].shape[0]
    hidden = state[f"{first}mlp.fc1.weight"].shape[0] if f"{first}mlp.fc1.weight" in state else 0
    return {
        "depths": depths,
        "embed_dim": dim,
        "d_state": state[f"{first}op.A_logs"].shape[1],
        "ssm_ratio": inner / dim,
        "conv_bias": f"{first}op.conv2d.bias" in state,
        "gated": state[f"{first}op.in_proj.weight"].shape[0] == 2 * inner,
        "mlp_ratio": hidden / dim,
        "overlapped": overlapped,
    }
