"""The layouts of the official AttNet and SiT state dicts (price112/Attentive-Convolution)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.attnet.model import AttNet, build
from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.watching import watched

__all__ = ["from_official", "golden_call", "outputs"]

_ATCONV: tuple[Rule, ...] = (
    (r"\.mixer\.project_kernel\.", ".mixer.kernel_proj."),
    (r"\.mixer\.mix_bands\.", ".mixer.kernel_gen."),
    (r"\.mixer\.project_value\.", ".mixer.x_proj."),
    (r"\.mixer\.project(_out)?\.", ".mixer.proj."),
    (r"\.mixer\.inhibition$", ".mixer.difference_control"),
)
_ATTNET: tuple[Rule, ...] = (
    *_ATCONV,
    (r"\.mixer\.", ".token_mixer."),
    (r"^downs\.", "downsample_layers."),
    (r"\.conv\.(?=weight)", ".0."),
    (r"^(downsample_layers\..+)\.norm\.", r"\1.1."),
    (r"\.feed_forward\.expand\.", ".channel_mixer.fc1."),
    (r"\.feed_forward\.depthwise\.", ".channel_mixer.dwconv."),
    (r"\.feed_forward\.norm\.", ".channel_mixer.norm_layer."),
    (r"\.feed_forward\.reduce\.", ".channel_mixer.fc2."),
    (r"\.norm([12])\.", r".norm_\1."),
    (r"\.scale([12])\.", r".layer_scale_\1."),
)
_SIT: tuple[Rule, ...] = (
    *_ATCONV,
    (r"\.mixer\.", ".attn."),
    (r"^embed\.", "x_embedder.proj."),
    (r"^embed_time\.fc1\.", "t_embedder.mlp.0."),
    (r"^embed_time\.fc2\.", "t_embedder.mlp.2."),
    (r"^embed_class\.", "y_embedder.embedding_table."),
    (r"^position$", "pos_embed"),
    (r"^condition\.", "final_layer.condition."),
    (r"\.condition\.", ".adaLN_modulation.1."),
    (r"^head\.", "final_layer.linear."),
)


def _convolution_shapes(model: AttNet) -> dict[str, tuple[int, ...]]:
    """Return the shapes of AttNet's linear maps over channels, which are 1x1 convolutions in the official code."""
    return {
        f"{name}.weight": (*module.weight.shape, 1, 1)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name != "head" and not name.endswith("mix_bands")
    }


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    model = build(config, form or "model")
    if isinstance(model, AttNet):
        return load_official(model, state, _ATTNET, _convolution_shapes(model))
    return load_official(model, state, _SIT)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name, under their official names.

    SiT takes latent pictures, times and classes and gives ``output``. AttNet gives ``logits`` and the maps of every
    ``downsample_layers.i``, of every ``stages.i`` and of the first token mixer.
    """
    if not isinstance(model, AttNet):
        return {"output": model(*inputs)}
    mixer = "stages.0.0.token_mixer"
    inside = {f"downsample_layers.{i}": module for i, module in enumerate(model.downs)}
    with watched(inside | {mixer: model.get_submodule("stages.0.0.mixer")}) as found:
        maps = model.forward_features(*inputs)
    found[mixer] = found[mixer].movedim(-1, 1)
    found |= {f"stages.{i}": each for i, each in enumerate(maps)}
    return found | {"logits": model.forward_head(maps[-1])}


def golden_call(model: nn.Module, inputs: tuple[Tensor, ...], golden: Any) -> dict[str, Tensor]:
    """Return :func:`outputs` on a golden record's input and, for SiT, its times ``t`` and classes ``y``."""
    if "t" not in golden.data:
        return outputs(model, *inputs)
    (x,) = inputs
    times = torch.tensor(golden.data["t"], dtype=x.dtype, device=x.device)
    return outputs(model, x, times, torch.tensor(golden.data["y"], device=x.device))
