"""The layout of the official SpaRTAN state dicts (henry-pay/SpaRTAN, src/model/spartan.py).

In the official code all blocks and the convolutions between stages are one list, ``layers``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from timm.layers import LayerScale2d
from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.spartan.mixers import ChannelMixer, SpatialMixer
from claimbench.reproductions.spartan.model import SpaRTAN, build
from claimbench.reproductions.watching import watched

__all__ = ["from_official", "outputs"]

_INSIDE: tuple[Rule, ...] = (
    (r"^stem\.(\d+)\.", lambda layer: f"conv.{int(layer[1]) // 2}."),
    (r"^head\.", "linear."),
    (r"\.norm([12])\.", r".norm_\1."),
    (r"\.scale([12])\.gamma$", r".scale_\1"),
    (r"\.spatial\.", ".smixer."),
    (r"\.channel\.", ".cmixer."),
    (r"\.smixer\.reduce\.", ".smixer.proj_in."),
    (r"\.smixer\.contrast$", ".smixer.gamma"),
    (r"\.smixer\.near\.", ".smixer.h_conv."),
    (r"\.smixer\.far1\.", ".smixer.l_conv.0.conv."),
    (r"\.smixer\.far2\.", ".smixer.l_conv.1."),
    (r"\.near_excite\.", ".h_attn."),
    (r"\.far_excite\.", ".l_attn."),
    (r"\.cmixer\.weight\.", ".cmixer.proj."),
    (r"\.cmixer\.wave$", ".cmixer.complex"),
    (r"\.cmixer\.excite\.", ".cmixer.attn."),
    (r"attn\.fc1\.", "attn.squeeze."),
    (r"attn\.fc2\.", "attn.expand."),
    (r"mixer\.project\.", "mixer.proj_out."),
)


def _rules(model: SpaRTAN) -> tuple[Rule, ...]:
    depths = [len(list(stage.children())) for stage in model.stages]
    starts = [0, *accumulate(depth + 1 for depth in depths)]

    def block(place: re.Match[str]) -> str:
        return f"layers.{starts[int(place[1])] + int(place[2])}."

    def down(place: re.Match[str]) -> str:
        return f"layers.{starts[int(place[1]) + 1] - 1}."

    return ((r"^stages\.(\d+)\.(\d+)\.", block), (r"^downs\.(\d+)\.0\.", down), *_INSIDE)


def _shapes(model: SpaRTAN) -> dict[str, tuple[int, ...]]:
    """Return the official shapes of weights of channels, (1, C, 1, 1), and of pairs of them, (1, 1, 1, N / 2, 2)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, LayerScale2d):
            shapes[f"{name}.gamma"] = (1, *module.gamma.shape, 1, 1)
        elif isinstance(module, SpatialMixer):
            shapes[f"{name}.contrast"] = (1, *module.contrast.shape, 1, 1)
        elif isinstance(module, ChannelMixer):
            shapes[f"{name}.wave"] = (1, 1, 1, *module.wave.shape)
    return shapes


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    model = build(config, form or "model")
    return load_official(model, state, _rules(model), _shapes(model))


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name, under their official names.

    These are ``logits``, ``conv`` (the stem), ``layers.0`` and its two mixers, each convolution between stages, and
    ``layers.last``.
    """
    assert isinstance(model, SpaRTAN)
    depths = [len(list(stage.children())) for stage in model.stages]
    ends = [end - 1 for end in accumulate(depth + 1 for depth in depths)]
    inside: dict[str, nn.Module] = {
        "conv": model.stem,
        "layers.0": model.get_submodule("stages.0.0"),
        "layers.0.smixer": model.get_submodule("stages.0.0.spatial"),
        "layers.0.cmixer": model.get_submodule("stages.0.0.channel"),
    } | {f"layers.{end}": down for end, down in zip(ends, model.downs, strict=False)}
    with watched(inside) as found:
        last = model.forward_features(*inputs)[-1]
    return found | {"layers.last": last, "logits": model.forward_head(last)}
